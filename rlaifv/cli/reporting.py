"""`rlaifv report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rlaifv.cli.output import FAILED, Json, emit, err, faults_reported, out
from rlaifv.cli.run_folders import DEFAULT_RUNS, RunsFolder, find_run


@faults_reported
def report(
    names: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="Names or folders of runs; several are compared.")
    ],
    target: Annotated[
        Path | None, typer.Option("--out", help="Folder to write to; default: report/ in the first run's folder.")
    ] = None,
    runs: RunsFolder = DEFAULT_RUNS,
    as_json: Json = False,
) -> None:
    """Write a report: one HTML file with plots, gallery and tables, and the plots as PNG.

    Every figure is computed again from the evaluated answers; if summary.json says otherwise, the report and the exit code (1)
    say so. A run that still goes on can be looked at too.

    [dim]Examples:[/dim]

      rlaifv report demo-stronger

      rlaifv report demo-stronger demo-self --out comparison
    """
    from rlaifv.adapters.report import write_report

    folders = [find_run(name, runs) for name in names]
    written = write_report(folders, target or folders[0] / "report")
    if as_json:
        emit(
            {
                "report": str(written.path),
                "plots": [str(plot) for plot in written.plots],
                "headline": list(written.headline),
                "agrees": written.agrees,
            }
        )
    else:
        for sentence in written.headline:
            out().print(sentence)
        out().print(f"Report: {written.path}", style="bold", soft_wrap=True)
    if not written.agrees:
        if not as_json:
            err().print(
                "summary.json does not agree with the evaluated answers; see the report's first lines", style="red"
            )
        raise typer.Exit(FAILED)
