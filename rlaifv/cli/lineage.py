"""`rlaifv lineage`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from rlaifv.cli.output import Json, emit, faults_reported, out
from rlaifv.cli.run_folders import DEFAULT_RUNS, RunsFolder, find_run
from rlaifv.cli.runs import Endpoint


@faults_reported
def lineage(
    name: Annotated[str, typer.Argument(metavar="RUN", help="Name of a run.")],
    pair_id: Annotated[str, typer.Argument(metavar="PAIR_ID", help="Id of a pair, as in the pair file.")],
    endpoint: Endpoint = None,
    timeout: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Longest time to wait.")] = 30.0,
    runs: RunsFolder = DEFAULT_RUNS,
    as_json: Json = False,
) -> None:
    """Trace a pair back to its picture, candidates, claims, verdicts, model versions and seeds.

    Asks an orchestrator if one is at work here or named; otherwise reads the run's files.

    [dim]Example:[/dim]

      rlaifv lineage demo-stronger 3f0c9a7be1d24c55
    """
    from rlaifv.cli.status import orchestrator_here

    target = endpoint or orchestrator_here(runs)
    found = _trace_here(name, pair_id, runs) if target is None else asyncio.run(_ask(name, pair_id, target, timeout))
    if as_json:
        emit(found)
        return
    from rich.json import JSON

    out().print(JSON.from_data(found))


async def _ask(name: str, pair_id: str, target: str, timeout: float) -> dict[str, Any]:
    from rlaifv.adapters.orchestrator_client import orchestrator_at

    async with orchestrator_at(target, timeout) as client:
        return await client.lineage(name, pair_id)


def _trace_here(name: str, pair_id: str, runs: Path) -> dict[str, Any]:
    from rlaifv.adapters.runs.folder import FolderArtifacts
    from rlaifv.adapters.runs.lineage import trace_pair
    from rlaifv.adapters.runs.reading import read_run_file
    from rlaifv.cli.run_ledger import open_ledger

    folder = find_run(name, runs)
    with open_ledger(runs) as ledger:
        run = read_run_file(folder.resolve() / "run.yaml")
        return trace_pair(ledger, FolderArtifacts(folder), run, pair_id)
