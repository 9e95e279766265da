"""Follows a run to its end, here (with the services started for it) or at an orchestrator elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from rlaifv.adapters.orchestrator_client import OrchestratorClient, RunState, orchestrator_at
from rlaifv.cli.local_stack import Stack, refuse_second_orchestrator, started
from rlaifv.cli.output import err
from rlaifv.cli.run_ledger import park_others
from rlaifv.cli.run_view import LiveView
from rlaifv.core.errors import BackendFailed, Unavailable

Begin = Callable[[OrchestratorClient], Awaitable[RunState]]
_ABSENCE_S = 120.0
"""A supervisor restarts a dead orchestrator; only a longer absence ends the watching."""


async def follow_there(target: str, name: str, begin: Begin, quiet: bool) -> RunState:
    """Begin and watch at the orchestrator `target`; stopping to watch does not stop the run."""
    async with orchestrator_at(target) as client:
        return await _follow(client, name, begin, quiet)


async def follow_here(stack: Stack, name: str, begin: Begin, quiet: bool) -> RunState:
    """Start the services, begin and watch; everything is stopped again at the end. BackendFailed if a service keeps dying."""
    refuse_second_orchestrator(stack.runs)
    for other in park_others(stack.runs, name):
        err().print(f"run {other} was left at work; go on with it later: rlaifv resume {other}", style="yellow")
    logs = stack.runs / name / "logs"
    services = stack.services()
    if not quiet:
        names = ", ".join(service.name for service in services)
        err().print(f"starting {names} (logs: {logs})", style="dim", soft_wrap=True)
    async with started(services, logs, stack.runs) as local, orchestrator_at(local.endpoints["orchestrator"]) as client:
        following = asyncio.ensure_future(_follow(client, name, begin, quiet))
        failing = asyncio.ensure_future(local.failed())
        try:
            await asyncio.wait({following, failing}, return_when=asyncio.FIRST_COMPLETED)
            if not following.done():
                await failing
            return await following
        finally:
            for task in (following, failing):
                task.cancel()
            await asyncio.gather(following, failing, return_exceptions=True)


async def _follow(client: OrchestratorClient, name: str, begin: Begin, quiet: bool) -> RunState:
    state = await begin(client)
    with LiveView() if not quiet else contextlib.nullcontext() as view:
        async for state in _states(client, name, view):
            if view is not None:
                view.show(state)
    return state


async def _states(client: OrchestratorClient, name: str, view: LiveView | None) -> AsyncIterator[RunState]:
    """All states to the last one, across restarts of the orchestrator."""
    loop = asyncio.get_running_loop()
    seen = loop.time()
    while True:
        try:
            async for state in client.watch(name):
                seen = loop.time()
                yield state
                if state.over:
                    return
            raise BackendFailed(f"run {name!r}: the orchestrator ended its report before the run was over")
        except Unavailable:
            if loop.time() - seen > _ABSENCE_S:
                raise
            if view is not None:
                view.note("the orchestrator is away; waiting for it")
            await asyncio.sleep(1.0)
