"""Runs that this process has at work: opened when a step first needs one, closed when the run ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from rlaifv.adapters.runs.history import RunHistory
from rlaifv.adapters.runs.ledger import Ledger
from rlaifv.adapters.runs.reading import parse_run_file
from rlaifv.adapters.runs.records import RunPhase
from rlaifv.adapters.runs.run_file import RunFile
from rlaifv.adapters.runs.summary import write_summary
from rlaifv.core.errors import Conflict, StorageFull
from rlaifv.ports.artifacts import Artifacts
from rlaifv.ports.truth import Truth
from services.orchestrator.context import Ports, RunContext, RunPrompts
from services.orchestrator.metrics import RunMetrics

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A run's ports, and how to let go of them."""

    ports: Ports
    close: Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all runs share. `connect` raises InvalidInput where the address of a service is not known."""

    root: Path
    ledger: Ledger
    connect: Callable[[RunFile], Connection]
    artifacts: Callable[[Path], Artifacts]
    truth: Callable[[str], Truth]
    metrics: RunMetrics
    patience_s: float = 600.0


class Contexts:
    """Opens each run once. `around` is also what the rest of the service works with."""

    def __init__(self, around: Surroundings) -> None:
        self.around = around
        self._open: dict[tuple[str, int], tuple[RunContext, Connection]] = {}
        self._opening = asyncio.Lock()
        self.unwritten: dict[tuple[str, int], tuple[RunPhase, str]] = {}
        """Ends of runs for which the ledger had no room."""

    async def enter(self, name: str, attempt: int, phase: RunPhase, message: str = "") -> bool:
        """Move the run to `phase`; false if the attempt is over or not the present one."""
        around = self.around
        try:
            moved = await asyncio.to_thread(around.ledger.set_phase, name, attempt, phase, message)
        except StorageFull as error:
            log.error("the ledger cannot note a run's phase", run=name, phase=phase.value, error=error.message)
            self.unwritten[name, attempt] = (phase, message)
            return False
        if moved:
            around.metrics.entered(phase)
        if moved and not phase.active:
            # A full disk must not hide the error that it was.
            with contextlib.suppress(StorageFull):
                artifacts = around.artifacts(around.root / name)
                await asyncio.to_thread(write_summary, RunHistory(around.ledger, name), artifacts)
        return moved

    async def open(self, name: str, attempt: int) -> RunContext:
        """The run's context. Raises Conflict if `attempt` is not the run's present one."""
        async with self._opening:
            if (name, attempt) not in self._open:
                self._open[name, attempt] = await self._make(name, attempt)
            return self._open[name, attempt][0]

    async def close(self, name: str, attempt: int) -> None:
        """Let go of a run's connections; does nothing if it is not open."""
        found = self._open.pop((name, attempt), None)
        if found is not None:
            await found[1].close()

    async def close_all(self) -> None:
        """Let go of everything."""
        for name, attempt in list(self._open):
            await self.close(name, attempt)

    async def _make(self, name: str, attempt: int) -> tuple[RunContext, Connection]:
        around = self.around
        record = await asyncio.to_thread(around.ledger.run, name)
        if record.attempt != attempt or not record.phase.active:
            raise Conflict(f"attempt {attempt} of the run {name!r} is over")
        run = parse_run_file(record.config_yaml, around.root)
        prompts = await asyncio.to_thread(RunPrompts.read, run, around.root)
        connection = around.connect(run)
        context = RunContext(
            run=run,
            attempt=attempt,
            ports=connection.ports,
            prompts=prompts,
            ledger=around.ledger,
            artifacts=around.artifacts(around.root / name),
            truth=around.truth,
            metrics=around.metrics,
            began_at=record.began_at,
            patience_s=around.patience_s,
        )
        return context, connection
