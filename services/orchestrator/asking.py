"""Asking a service until every item has a final outcome: what will pass is asked again, so that a crash drops nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import structlog

from rlaifv.core.candidates import Candidate
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.errors import (
    BackendFailed,
    Cancelled,
    Conflict,
    DeadlineExceeded,
    Overloaded,
    RlaifvError,
    Unavailable,
)
from rlaifv.core.outcomes import Outcome
from rlaifv.ports.services import Generation, Policy

I = TypeVar("I")  # noqa: E741 - item
T = TypeVar("T")

PASSING = (Unavailable, Overloaded, DeadlineExceeded)
"""Errors that say nothing of the item: the same request may work later."""

_ITEM_PASSING = (*PASSING, Cancelled)
"""Of an item also: a service that shuts down cancels what it has at work."""

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0

log = structlog.stdlib.get_logger(__name__)


async def _at_once() -> None:
    return None


async def ask_all(
    call: Callable[[Sequence[I]], AsyncIterator[Outcome[T]]],
    items: Mapping[str, I],
    *,
    patience_s: float,
    prepare: Callable[[], Awaitable[None]] = _at_once,
    fits: Callable[[T], bool] = lambda _value: True,
) -> AsyncIterator[Outcome[T]]:
    """One outcome per item (by its id), as they come. Values that do not fit and passing errors are asked again.

    `prepare` runs before every call. Raises the last passing error if nothing moved for `patience_s` seconds.
    """
    waiting = dict(items)
    pause, moved_at = _FIRST_PAUSE_S, time.monotonic()
    while waiting:
        trouble: RlaifvError = BackendFailed(f"a service left {len(waiting)} item(s) without an outcome")
        try:
            await prepare()
            async for outcome in call(list(waiting.values())):
                if isinstance(outcome.error, _ITEM_PASSING):
                    trouble = outcome.error
                elif outcome.value is not None and not fits(outcome.value):
                    trouble = Conflict("the policy went on answering with other weights than those of the iteration")
                elif waiting.pop(outcome.item_id, None) is not None:
                    pause, moved_at = _FIRST_PAUSE_S, time.monotonic()
                    yield outcome
        except PASSING as error:
            trouble = error
        if waiting:
            if time.monotonic() - moved_at > patience_s:
                raise trouble
            log.warning("asking again", items=len(waiting), reason=trouble.message, pause_s=round(pause, 2))
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)


async def at_once(work: Iterable[Coroutine[Any, Any, T]], limit: int) -> list[T]:
    """All results in their order, at most `limit` at work; the first error ends the others and is raised as it is."""
    places = asyncio.Semaphore(limit)

    async def placed(item: Coroutine[Any, Any, T]) -> T:
        async with places:
            return await item

    pending = list(work)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(placed(item)) for item in pending]
    except BaseExceptionGroup as errors:
        raise first_error(errors) from errors
    finally:
        for item in pending:
            item.close()
    return [task.result() for task in tasks]


def first_error(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error of a task group, out of all its groups."""
    found: BaseException = errors
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


class PolicyKeeper:
    """Answers of one checkpoint only: loads it where the policy serves another (a restarted policy serves its first)."""

    def __init__(self, policy: Policy, patience_s: float) -> None:
        self._policy = policy
        self._patience_s = patience_s
        self._lock = asyncio.Lock()

    async def ensure(self, checkpoint: Checkpoint) -> bool:
        """Make the policy serve `checkpoint`; true if it had to be loaded. One caller loads, the others wait."""
        async with self._lock:
            if checkpoint.digest and await self._policy.version() == checkpoint.digest:
                return False
            log.info("loading the policy's weights", uri=checkpoint.uri, digest=checkpoint.digest)
            await self._policy.load(checkpoint)
            return True

    async def serve_start(self, uri: str) -> Checkpoint:
        """Load a folder whose digest nobody knows yet; gives the checkpoint with its digest. Waits for a policy that starts."""
        began = time.monotonic()
        while True:
            try:
                await self.ensure(Checkpoint(uri=uri, digest=""))
                return Checkpoint(uri=uri, digest=await self._policy.version())
            except PASSING:
                if time.monotonic() - began > self._patience_s:
                    raise
                await asyncio.sleep(1.0)

    async def answer(
        self, checkpoint: Checkpoint, items: Sequence[Generation]
    ) -> AsyncIterator[Outcome[tuple[Candidate, ...]]]:
        """As `Policy.generate`, every candidate from `checkpoint`: answers of other weights are thrown away and asked again."""

        async def prepare() -> None:
            await self.ensure(checkpoint)

        async for outcome in ask_all(
            self._policy.generate,
            {item.prompt.id: item for item in items},
            patience_s=self._patience_s,
            prepare=prepare,
            fits=lambda candidates: all(c.policy_version == checkpoint.digest for c in candidates),
        ):
            yield outcome
