"""`rlaifv lineage`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from rlaifv.cli.output import Json, emit, err, faults_reported, out
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

    Without --endpoint, and if no orchestrator is at work here, one is started for the question.

    [dim]Example:[/dim]

      rlaifv lineage demo-stronger 3f0c9a7be1d24c55
    """
    from rlaifv.cli.status import orchestrator_here

    target = endpoint or orchestrator_here(runs)
    if target is None:
        find_run(name, runs)
    found = asyncio.run(_ask(name, pair_id, target, timeout, runs, quiet=as_json))
    if as_json:
        emit(found)
        return
    from rich.json import JSON

    out().print(JSON.from_data(found))


async def _ask(name: str, pair_id: str, target: str | None, timeout: float, runs: Path, quiet: bool) -> dict[str, Any]:
    from rlaifv.adapters.orchestrator_client import orchestrator_at
    from rlaifv.cli.local_stack import Stack, started

    if target is not None:
        async with orchestrator_at(target, timeout) as client:
            return await client.lineage(name, pair_id)
    if not quiet:
        err().print("no orchestrator is at work here; starting one", style="dim")
    services = Stack(runs=runs).services(["orchestrator"])
    async with (
        started(services, runs / ".services" / "logs", runs) as local,
        orchestrator_at(local.endpoints["orchestrator"], timeout) as client,
    ):
        return await client.lineage(name, pair_id)
