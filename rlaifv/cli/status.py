"""`rlaifv status` and `rlaifv cancel`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlaifv.cli.output import Json, emit, faults_reported, out
from rlaifv.cli.run_folders import DEFAULT_RUNS, RunsFolder, find_run, run_folders
from rlaifv.cli.runs import Endpoint
from rlaifv.core.errors import DataLoss, Unavailable

if TYPE_CHECKING:
    from rlaifv.adapters.orchestrator_client import RoundState, RunState

Timeout = Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Longest time to wait for an answer.")]


@faults_reported
def status(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One run; default: all.")] = None,
    endpoint: Endpoint = None,
    timeout: Timeout = 10.0,
    runs: RunsFolder = DEFAULT_RUNS,
    as_json: Json = False,
) -> None:
    """Say where runs are.

    Asks the orchestrator if one is at work (on this machine, or at --endpoint); otherwise reads the run folders.

    [dim]Examples:[/dim]

      rlaifv status

      rlaifv status demo-stronger --json
    """
    from rlaifv.cli.run_view import run_panel, run_table, run_to_json

    states = _states(name, endpoint, timeout, runs)
    if as_json:
        emit(run_to_json(states[0]) if name else {"runs": [run_to_json(state) for state in states]})
    elif name:
        out().print(run_panel(states[0]))
    elif states:
        out().print(run_table(states))
    else:
        out().print(f"no runs in {runs}/; begin one with: rlaifv run FILE")


@faults_reported
def cancel(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a run at work.")],
    endpoint: Endpoint = None,
    timeout: Timeout = 10.0,
    runs: RunsFolder = DEFAULT_RUNS,
    as_json: Json = False,
) -> None:
    """Stop a run at a safe place; `rlaifv resume NAME` goes on.

    [dim]Example:[/dim]

      rlaifv cancel demo-stronger
    """
    from rlaifv.adapters.orchestrator_client import orchestrator_at
    from rlaifv.cli.run_view import run_to_json

    target = endpoint or orchestrator_here(runs)
    if target is None:
        raise Unavailable(f"no orchestrator is at work for {runs}/, so nothing runs there; name one with --endpoint")

    async def ask(at: str) -> RunState:
        async with orchestrator_at(at, timeout) as client:
            return await client.cancel(name)

    state = asyncio.run(ask(target))
    if as_json:
        emit(run_to_json(state))
    else:
        out().print(f"run {name} is {state.phase}; go on with: rlaifv resume {name}", soft_wrap=True)


def orchestrator_here(runs: Path) -> str | None:
    """Endpoint of the orchestrator that another command started for these runs."""
    from rlaifv.cli.local_stack import live_endpoints

    return live_endpoints(runs).get("orchestrator")


def _states(name: str | None, endpoint: str | None, timeout: float, runs: Path) -> list[RunState]:
    target = endpoint or orchestrator_here(runs)
    if target is None:
        folders = [find_run(name, runs)] if name else run_folders(runs)
        return [state_of_folder(folder) for folder in folders]
    from rlaifv.adapters.orchestrator_client import orchestrator_at

    async def ask(at: str) -> list[RunState]:
        async with orchestrator_at(at, timeout) as client:
            return [await client.get(name)] if name else list(await client.list())

    return asyncio.run(ask(target))


def state_of_folder(folder: Path) -> RunState:
    """What a run folder says when nobody works in it: a phase other than done means that it can be resumed."""
    from rlaifv.adapters.orchestrator_client import RunState

    summary = _summary(folder)
    rounds = tuple(_round(entry) for entry in summary.get("rounds", []))
    phase = str(summary.get("phase") or "stopped")
    return RunState(
        name=str(summary.get("name") or folder.name),
        phase="stopped" if phase in ("running", "pending") else phase,
        message=str(summary.get("message") or ""),
        iteration=rounds[-1].index if rounds else 0,
        iterations=int(summary.get("iterations") or (rounds[-1].index if rounds else 0)),
        stage="" if phase != "done" else "done",
        stage_done=0,
        stage_total=0,
        wall_s=float(summary.get("wall_s") or 0.0),
        folder=str(folder),
        policy_version="",
        rounds=rounds,
        training=None,
        dropped={},
    )


def _summary(folder: Path) -> dict[str, Any]:
    path = folder / "summary.json"
    if not path.exists():
        return {}
    try:
        data = json.loads(path.read_text("utf-8"))
    except ValueError as exc:
        raise DataLoss(f"{path}: is not JSON ({exc}); `rlaifv resume {folder.name}` writes it anew") from exc
    return dict(data)


def _round(entry: dict[str, Any]) -> RoundState:
    from rlaifv.adapters.orchestrator_client import RoundState

    figures = entry.get("eval") or {}
    return RoundState(
        index=int(entry["index"]),
        promoted=bool(entry.get("promoted")),
        pairs=int(entry.get("pairs") or 0),
        dropped=dict(entry.get("dropped") or {}),
        response_hallucination=figures.get("response_hallucination"),
        coverage=figures.get("coverage"),
        mean_words=figures.get("mean_words"),
    )
