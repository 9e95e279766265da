"""DBOS makes the loop durable: a run is a queued workflow, a shard a queued child workflow, every stage a step.

A step's result is in the database before the next begins; after a crash the workflow is run again and finished steps give
what they gave. What a step did before it was cut off is found in the ledger (see `RunContext.once`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from typing import Any

import sqlalchemy as sa
import structlog
from dbos import DBOS, DBOSConfig, Serializer, SetWorkflowID
from dbos import error as dbos_error

import rlaifv.core.errors as errors
from rlaifv.adapters.runs.ledger import write_ahead
from rlaifv.adapters.runs.records import Entry, RunPhase, entry_from_dict, entry_to_dict
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.errors import BackendFailed, Cancelled, RlaifvError
from services.orchestrator.collecting import collect_shard
from services.orchestrator.context import RunContext
from services.orchestrator.contexts import Contexts
from services.orchestrator.loop import run_loop

LOOP_VERSION = "rlaifv-loop/2"
"""Goes up when the order of the loop's steps changes: unfinished runs then begin a new attempt, which the ledger makes cheap."""

_RUNS = "rlaifv.runs"
_POLLING_S = 0.1
_TAKEN = 2
"""Shards that a worker has taken from the queue for each that it works at: none waits for the next look into the queue."""

_MAX_RECOVERIES = 1_000_000
"""A run that is interrupted often is still to be finished."""

log = structlog.stdlib.get_logger(__name__)
Json = dict[str, Any]


class JsonSerializer(Serializer):  # type: ignore[misc]
    """Plain JSON in the database, not pickle: readable, and nothing in it can run."""

    def serialize(self, data: Any) -> str:
        return json.dumps({"error": str(data)} if isinstance(data, BaseException) else {"value": data})

    def deserialize(self, serialized_data: str) -> Any:
        data = json.loads(serialized_data)
        return data["value"] if "value" in data else BackendFailed(data["error"])

    def name(self) -> str:
        return "rlaifv_json"


class DbosEngine:
    """Runs workflows in this process. Make and launch it inside the running loop; one in a process."""

    def __init__(self, contexts: Contexts, database_url: str, executor_id: str, max_runs: int) -> None:
        self._contexts = contexts
        self._max_runs = max_runs
        self._database_url = database_url
        config: DBOSConfig = {
            "name": "rlaifv-orchestrator",
            "system_database_url": database_url,
            "application_version": LOOP_VERSION,
            "executor_id": executor_id,
            "serializer": JsonSerializer(),
            "log_level": "WARNING",
        }
        DBOS(config=config)
        self._at_work: dict[asyncio.Task[Any], tuple[str, int]] = {}
        self._watched: asyncio.AbstractEventLoop | None = None
        # One log for all: DBOS would write lines of its own kind.
        logger = logging.getLogger("dbos")
        logger.handlers.clear()
        logger.propagate = True
        options = {"max_recovery_attempts": _MAX_RECOVERIES}
        self._shard = DBOS.workflow(name="rlaifv.shard", **options)(self._make_shard())
        self._ahead = DBOS.workflow(name="rlaifv.ahead", **options)(self._make_ahead())
        self._run = DBOS.workflow(name="rlaifv.run", **options)(self._make_run())

    async def launch(self) -> None:
        """Go on with what was at work when the last process ended, and take new runs."""
        self._watched = asyncio.get_running_loop()
        sa.event.listen(sa.Engine, "handle_error", self._on_database_error)
        if self._database_url.startswith("sqlite"):
            await asyncio.to_thread(write_ahead, self._database_url)
        DBOS.launch()
        await DBOS.register_queue_async(
            _RUNS, worker_concurrency=self._max_runs, polling_interval_sec=_POLLING_S, on_conflict="always_update"
        )

    async def start(self, name: str, attempt: int) -> None:
        """Queue the run's attempt; the same attempt twice is one."""
        with SetWorkflowID(_run_id(name, attempt)):
            await DBOS.enqueue_workflow_async(_RUNS, self._run, name, attempt)

    async def cancel(self, name: str, attempt: int) -> None:
        """Stop the attempt and its shards within about a second."""
        await DBOS.cancel_workflow_async(_run_id(name, attempt), cancel_children=True)

    async def goes_on(self, name: str, attempt: int) -> bool:
        """Whether some process has the attempt queued or at work, under the present version of the loop."""
        status = await DBOS.get_workflow_status_async(_run_id(name, attempt))
        return (
            status is not None
            and status.status in ("PENDING", "ENQUEUED")
            and status.app_version in (None, LOOP_VERSION)
        )

    async def close(self) -> None:
        """Stop taking work. What is at work is cut off, and taken up again by the next process."""
        sa.event.remove(sa.Engine, "handle_error", self._on_database_error)
        cut_off = list(self._at_work)
        for task in cut_off:
            task.cancel()
        await asyncio.gather(*cut_off, return_exceptions=True)
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as waiting:
            await loop.run_in_executor(waiting, partial(DBOS.destroy, destroy_registry=True))
        # DBOS had made its own pool, which is shut down now, the default of this loop.
        loop.set_default_executor(ThreadPoolExecutor())

    @property
    def _steps(self) -> _DbosSteps:
        return _DbosSteps(self._shard, self._ahead)

    @contextlib.contextmanager
    def _working(self, name: str, attempt: int) -> Iterator[None]:
        """Lets the workflow be found when it has to be cut off."""
        task = asyncio.current_task()
        assert task is not None, "a workflow is a task"
        self._at_work[task] = (name, attempt)
        try:
            yield
        finally:
            self._at_work.pop(task, None)

    def _on_database_error(self, context: sa.ExceptionContext) -> None:
        """DBOS cannot say that its database is full, for that it would have to write: a run would wait for ever."""
        if isinstance(context.sqlalchemy_exception, sa.exc.OperationalError) and "full" in str(
            context.original_exception
        ):
            assert self._watched is not None, "listens from launch to close"
            self._watched.call_soon_threadsafe(self._strand, str(context.original_exception))

    def _strand(self, reason: str) -> None:
        """Fail all runs at work without a word to the database."""
        for task, run in list(self._at_work.items()):
            message = f"no room left for the run's state ({reason}); free some space, then resume the run"
            self._contexts.unwritten.setdefault(run, (RunPhase.FAILED, message))
            task.cancel()

    def _make_shard(self) -> Callable[..., Awaitable[Json]]:
        contexts = self._contexts

        async def shard(name: str, attempt: int, iteration: int, index: int, start: Json) -> Json:
            async def collect() -> Entry:
                context = await contexts.open(name, attempt)
                async with context.places:
                    return await collect_shard(context, iteration, index, Checkpoint(**start))

            with self._working(name, attempt):
                return await _step(f"collect {iteration}/{index}", collect)

        return shard

    def _make_ahead(self) -> Callable[..., Awaitable[Json]]:
        contexts = self._contexts

        async def ahead(name: str, attempt: int, iteration: int, start: Json, shards: list[int]) -> Json:
            with self._working(name, attempt):
                context = await contexts.open(name, attempt)
                try:
                    await self._steps.shards(context, iteration, Checkpoint(**start), shards)
                except RlaifvError as error:
                    return {"error": type(error).__name__, "message": error.message}
                return {}

        return ahead

    def _make_run(self) -> Callable[..., Awaitable[None]]:
        async def run(name: str, attempt: int) -> None:
            try:
                with self._working(name, attempt):
                    await self._loop(name, attempt)
            except Cancelled as error:
                await self._end(name, attempt, RunPhase.CANCELLED, error.message)
            except RlaifvError as error:
                await self._end(name, attempt, RunPhase.FAILED, error.message)
            except Exception:
                log.exception("the run failed", run=name)
                await self._end(
                    name, attempt, RunPhase.FAILED, "internal error; the orchestrator's log has the details"
                )

        return run

    async def _loop(self, name: str, attempt: int) -> None:
        context = await self._contexts.open(name, attempt)
        if await self._contexts.enter(name, attempt, RunPhase.RUNNING):
            # Now, for DBOS looks for new queues only once a second.
            await DBOS.register_queue_async(
                _shard_queue(name),
                worker_concurrency=_TAKEN * context.run.shards_in_flight,
                polling_interval_sec=_POLLING_S,
                on_conflict="always_update",
            )
            await run_loop(context, self._steps)
            await self._end(name, attempt, RunPhase.DONE, "")

    async def _end(self, name: str, attempt: int, phase: RunPhase, message: str) -> None:
        log.info("the run ended", run=name, phase=phase.value, message=message)
        await self._contexts.enter(name, attempt, phase, message)


class _DbosSteps:
    """The loop's `Durable` on DBOS, inside the workflow of a run."""

    def __init__(self, shard: Callable[..., Awaitable[Json]], ahead: Callable[..., Awaitable[Json]]) -> None:
        self._shard = shard
        self._ahead = ahead

    async def step(self, name: str, make: Callable[[], Awaitable[Entry]]) -> Entry:
        return _entry(await _step(name, make))

    async def shards(self, context: RunContext, iteration: int, start: Checkpoint, shards: Sequence[int]) -> None:
        queue, in_flight = _shard_queue(context.name), context.run.shards_in_flight
        waiting: deque[Any] = deque()
        try:
            for shard in shards:
                with SetWorkflowID(f"{_run_id(context.name, context.attempt)}/{iteration}/{shard}"):
                    arguments = (context.name, context.attempt, iteration, shard, asdict(start))
                    waiting.append(await DBOS.enqueue_workflow_async(queue, self._shard, *arguments))
                # A few ahead of those taken, so that the queue is never empty and never long.
                if len(waiting) > 2 * _TAKEN * in_flight:
                    _entry(await _outcome(waiting[0]))
                    waiting.popleft()
            while waiting:
                _entry(await _outcome(waiting[0]))
                waiting.popleft()
        except RlaifvError:
            await DBOS.cancel_workflows_async([handle.get_workflow_id() for handle in waiting])
            raise

    @contextlib.asynccontextmanager
    async def shards_beside(
        self, context: RunContext, iteration: int, start: Checkpoint, shards: Sequence[int]
    ) -> AsyncIterator[None]:
        # A workflow of its own, so that the steps of the run's keep their order.
        with SetWorkflowID(f"{_run_id(context.name, context.attempt)}/{iteration}"):
            arguments = (context.name, context.attempt, iteration, asdict(start), list(shards))
            handle = await DBOS.start_workflow_async(self._ahead, *arguments)
        try:
            yield
        except RlaifvError:
            await DBOS.cancel_workflow_async(handle.get_workflow_id(), cancel_children=True)
            raise
        _raise_error_of(await _outcome(handle))


async def _outcome(handle: Any) -> Any:
    try:
        return await handle.get_result(polling_interval_sec=_POLLING_S)
    except dbos_error.DBOSAwaitedWorkflowCancelledError as exc:
        raise Cancelled("a shard of the run was cancelled") from exc


async def _step(name: str, make: Callable[[], Awaitable[Entry]]) -> Json:
    """The step's entry, or the error that ended it, as plain JSON: both are the step's outcome and are not tried again."""

    async def run() -> Json:
        try:
            return entry_to_dict(await make())
        except RlaifvError as error:
            return {"error": type(error).__name__, "message": error.message}

    result: Json = await DBOS.run_step_async({"name": name, "preemptible": True}, run)
    return result


def _entry(result: Json) -> Entry:
    _raise_error_of(result)
    return entry_from_dict(result)


def _raise_error_of(result: Json) -> None:
    if "error" in result:
        raise getattr(errors, result["error"])(result["message"])


def _shard_queue(name: str) -> str:
    return f"rlaifv.shards.{name}"


def _run_id(name: str, attempt: int) -> str:
    return f"{name}/{attempt}"
