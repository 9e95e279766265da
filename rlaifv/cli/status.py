"""`rlaifv status` and `rlaifv cancel`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlaifv.cli.output import Json, emit, faults_reported, out
from rlaifv.cli.run_folders import DEFAULT_RUNS, RunsFolder, find_run, run_folders
from rlaifv.cli.runs import Endpoint
from rlaifv.core.errors import Unavailable

if TYPE_CHECKING:
    from rlaifv.adapters.orchestrator_client import RunState

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

    Asks the orchestrator if one is at work (on this machine, or at --endpoint); otherwise reads the runs' files.

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
        return _states_here(name, runs)
    from rlaifv.adapters.orchestrator_client import orchestrator_at

    async def ask(at: str) -> list[RunState]:
        async with orchestrator_at(at, timeout) as client:
            return [await client.get(name)] if name else list(await client.list())

    return asyncio.run(ask(target))


def _states_here(name: str | None, runs: Path) -> list[RunState]:
    """What the ledger and the run folders say when nobody works in them."""
    from rlaifv.cli.folder_state import ledger_states, state_of_folder
    from rlaifv.cli.run_ledger import has_ledger

    known = ledger_states(runs) if has_ledger(runs) else {}
    folders = [find_run(name, runs)] if name and name not in known else run_folders(runs)
    states = list(known.values()) + [state_of_folder(folder) for folder in folders if folder.name not in known]
    return [state for state in states if name is None or Path(name).name == state.name]
