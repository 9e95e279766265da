"""What a run came to: the last table, the report, the exit code."""

from __future__ import annotations

from pathlib import Path

import typer

from rlaifv.adapters.orchestrator_client import RunState
from rlaifv.cli.output import FAILED, emit, err, out
from rlaifv.cli.run_view import duration, round_table, run_to_json
from rlaifv.core.errors import RlaifvError


def report_outcome(state: RunState, as_json: bool) -> None:
    """Print the result of a run that is over and write its report; exits with 1 unless it is done."""
    report = _report(Path(state.folder), as_json) if state.phase == "done" else None
    if as_json:
        emit(run_to_json(state) | {"report": str(report) if report else None})
    else:
        console = out()
        if state.rounds:
            console.print(round_table(state.rounds))
        console.print(
            f"Run {state.name} is {state.phase} after {duration(state.wall_s)}: {state.folder}", soft_wrap=True
        )
        if report:
            console.print(f"Report: {report}", style="bold", soft_wrap=True)
        if state.phase != "done":
            message = f"{state.message}; " if state.message else ""
            err().print(f"error: {message}go on with: rlaifv resume {state.name}", style="red", soft_wrap=True)
    if state.phase != "done":
        raise typer.Exit(FAILED)


def _report(folder: Path, as_json: bool) -> Path | None:
    """The run's report; a run that went well does not fail because its report cannot be drawn here."""
    if not folder.is_dir():
        return None  # the orchestrator is on another machine
    from rlaifv.adapters.report import write_report

    try:
        return write_report([folder], folder / "report").path
    except RlaifvError as error:
        if not as_json:
            err().print(f"no report: {error.message}", style="yellow", soft_wrap=True)
        return None
