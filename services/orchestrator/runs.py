"""What can be asked of runs: start, watch, cancel, resume, list, trace. Knows neither gRPC nor how a run is made durable."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import structlog

from rlaifv.adapters.runs import layout
from rlaifv.adapters.runs.history import RunHistory
from rlaifv.adapters.runs.lineage import trace_pair
from rlaifv.adapters.runs.reading import dump_run_file, parse_run_file
from rlaifv.adapters.runs.records import RunPhase, RunRecord
from rlaifv.adapters.runs.run_file import RunFile
from rlaifv.adapters.runs.summary import summarise_run
from rlaifv.core.drops import merge_counts
from rlaifv.core.errors import AlreadyExists, Conflict, InvalidInput, NotFound, RlaifvError
from services.orchestrator.context import RunPrompts
from services.orchestrator.contexts import Contexts

log = structlog.stdlib.get_logger(__name__)

_WATCH_INTERVAL_S = 0.25
_TELL_TRAINER_S = 10.0


class Engine(Protocol):
    """Where attempts are run."""

    async def start(self, name: str, attempt: int) -> None:
        """Queue an attempt."""
        ...

    async def cancel(self, name: str, attempt: int) -> None:
        """Stop an attempt."""
        ...

    async def goes_on(self, name: str, attempt: int) -> bool:
        """Whether an attempt is queued or at work."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """A run as people see it: the ledger's record, what follows from its entries, and its summary so far."""

    record: RunRecord
    run: RunFile
    folder: str
    wall_s: float
    policy: Mapping[str, str] | None
    dropped: dict[str, int]
    rounds: list[dict[str, Any]]


class Runs:
    """The runs of an orchestrator. All methods may be called from any worker on the same database."""

    def __init__(self, contexts: Contexts, engine: Engine) -> None:
        self._contexts = contexts
        self._around = contexts.around
        self._engine = engine
        self._histories: dict[str, RunHistory] = {}
        self._summing_up = Lock()
        # A run that is watched is read four times a second; YAML takes longer than all the rest of it.
        self._parsed = lru_cache(maxsize=64)(parse_run_file)

    async def recover(self) -> None:
        """Begin anew what should be at work and is not: a crash between the ledger and the engine, or an older loop."""
        for record in await asyncio.to_thread(self._around.ledger.runs):
            if record.phase.active and not await self._engine.goes_on(record.name, record.attempt):
                log.info("the run goes on", run=record.name)
                await self._restart(record, record.config_yaml)

    async def start(self, name: str, config_yaml: str, base_folder: str) -> RunState:
        """Begin a run, or go on with the one of that name and content. Raises InvalidInput, NotFound, AlreadyExists."""
        run = self._read(name, config_yaml, base_folder)
        known = await self._find(run.name)
        if known is None:
            await self._create(run)
        else:
            await self._go_on(known, run)
        return await self.get(run.name)

    async def resume(self, name: str) -> RunState:
        """Go on with a run that was cancelled or failed. Raises Conflict if it is at work or done."""
        record = await self._record(name)
        if record.phase.active or record.phase is RunPhase.DONE:
            raise Conflict(f"the run {name!r} is {record.phase.value}: only a failed or cancelled run can be resumed")
        await self._restart(record, record.config_yaml)
        return await self.get(name)

    async def cancel(self, name: str) -> RunState:
        """Stop a run; what is complete stays. Raises Conflict if it is over."""
        record = await self._record(name)
        if not record.phase.active:
            raise Conflict(f"the run {name!r} is {record.phase.value}: there is nothing to cancel")
        await self._stop(record, "cancelled on request")
        return await self.get(name)

    async def get(self, name: str) -> RunState:
        """Where the run is. Raises NotFound."""
        return await asyncio.to_thread(self._state, await self._record(name))

    async def all(self) -> list[RunState]:
        """All runs, newest first."""
        records = await asyncio.to_thread(self._around.ledger.runs)
        return [await asyncio.to_thread(self._state, self._overlaid(record)) for record in records]

    async def watch(self, name: str) -> AsyncIterator[RunState]:
        """The state whenever it changed, at once the first time, to the end of the run. Raises NotFound."""
        shown: RunState | None = None
        while True:
            state = await self.get(name)
            if shown is None or replace(state, wall_s=0.0) != replace(shown, wall_s=0.0):
                shown = state
                yield state
            if not state.record.phase.active:
                return
            await asyncio.sleep(_WATCH_INTERVAL_S)

    async def lineage(self, name: str, pair_id: str) -> dict[str, Any]:
        """Everything that made a pair, as plain JSON types. Raises NotFound."""
        record = await self._record(name)
        run = parse_run_file(record.config_yaml, self._around.root)
        artifacts = self._around.artifacts(self._around.root / name)
        return await asyncio.to_thread(trace_pair, self._around.ledger, artifacts, run, pair_id)

    def _read(self, name: str, config_yaml: str, base_folder: str) -> RunFile:
        base = Path(base_folder or ".").absolute()
        run = parse_run_file(config_yaml, base)
        if name and name != run.name:
            raise InvalidInput.field("name", name, f"the run file says {run.name!r}; give the same name in both")
        return run

    def _check_prompts(self, run: RunFile) -> None:
        """Find out now what would end the run hours later."""
        prompts = RunPrompts.read(run)
        for annotation in prompts.evaluation.truths.values() if prompts.evaluation else ():
            self._around.truth(annotation)

    async def _create(self, run: RunFile) -> None:
        await asyncio.to_thread(self._check_prompts, run)
        await self._check_services(run)
        artifacts = self._around.artifacts(self._around.root / run.name)
        if artifacts.exists(layout.RUN_FILE):
            raise AlreadyExists(
                f"{artifacts.uri('')} holds a run that this orchestrator does not know: move it away or choose another name"
            )
        await asyncio.to_thread(self._around.ledger.create_run, run.name, dump_run_file(run), run.digest)
        self._around.metrics.entered(RunPhase.PENDING)
        await self._engine.start(run.name, 1)

    async def _go_on(self, record: RunRecord, run: RunFile) -> None:
        known = parse_run_file(record.config_yaml, self._around.root)
        if record.digest != run.digest:
            raise AlreadyExists(
                f"there is a run named {run.name!r} with other content ({_difference(known, run)}): "
                "choose another name, or give the same run file to resume it"
            )
        if record.phase is RunPhase.DONE or (record.phase.active and known == run):
            return
        await asyncio.to_thread(self._check_prompts, run)
        await self._check_services(run)
        await self._restart(record, dump_run_file(run))

    async def _check_services(self, run: RunFile) -> None:
        """Raises InvalidInput if the address of a service is missing."""
        await self._around.connect(run).close()

    async def _restart(self, record: RunRecord, config_yaml: str) -> None:
        """A new attempt; what is in the ledger is not made again."""
        if record.phase.active:
            await self._stop(record, "begun anew")
        unwritten = self._contexts.unwritten.pop((record.name, record.attempt), None)
        if unwritten is not None:
            await self._contexts.enter(record.name, record.attempt, *unwritten)
        attempt = await asyncio.to_thread(self._around.ledger.begin_attempt, record.name, config_yaml)
        self._around.metrics.entered(RunPhase.PENDING)
        await self._engine.start(record.name, attempt)

    async def _stop(self, record: RunRecord, message: str) -> None:
        if await self._contexts.enter(record.name, record.attempt, RunPhase.CANCELLED, message):
            await self._engine.cancel(record.name, record.attempt)
            await self._stop_training(record)

    async def _stop_training(self, record: RunRecord) -> None:
        """The trainer goes on by itself, so it has to be told."""
        entries = await asyncio.to_thread(self._around.ledger.entries, record.name)
        trained = {entry.iteration for entry in entries if entry.key == "trained"}
        jobs = [entry.details["id"] for entry in entries if entry.key == "job" and entry.iteration not in trained]
        if jobs:
            connection = self._around.connect(parse_run_file(record.config_yaml, self._around.root))
            try:
                await asyncio.wait_for(connection.ports.trainer.cancel(jobs[-1]), timeout=_TELL_TRAINER_S)
            except (RlaifvError, TimeoutError) as error:
                log.warning("the trainer was not told to stop", run=record.name, error=str(error))
            finally:
                await connection.close()

    async def _find(self, name: str) -> RunRecord | None:
        try:
            return await self._record(name)
        except NotFound:
            return None

    async def _record(self, name: str) -> RunRecord:
        return self._overlaid(await asyncio.to_thread(self._around.ledger.run, name))

    def _overlaid(self, record: RunRecord) -> RunRecord:
        """With the end for which the ledger had no room."""
        unwritten = self._contexts.unwritten.get((record.name, record.attempt))
        return replace(record, phase=unwritten[0], message=unwritten[1]) if unwritten else record

    def _state(self, record: RunRecord) -> RunState:
        run = self._parsed(record.config_yaml, self._around.root)
        with self._summing_up:
            history = self._histories.setdefault(record.name, RunHistory(self._around.ledger, record.name))
            rounds = summarise_run(history, record, run)["rounds"]
            policy, dropped = history.policy, merge_counts(history.dropped(record.progress.iteration))
        return RunState(
            record=record,
            run=run,
            folder=self._around.artifacts(self._around.root / record.name).uri(""),
            wall_s=(record.ended_at or time.time()) - record.began_at,
            policy=policy,
            dropped=dropped,
            rounds=rounds,
        )


def _difference(known: RunFile, given: RunFile) -> str:
    """The first field that differs, with both values."""
    ours, theirs = known.content(), given.content()
    field = next(name for name in ours if ours[name] != theirs[name])
    return f"{field} is {ours[field]!r} there and {theirs[field]!r} here"
