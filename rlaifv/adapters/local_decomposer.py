"""The Decomposer port over a plain function that divides texts, run in a thread so that the loop stays free.

Answers that wait are divided together: a parser is a good deal faster on many sentences than on one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final, Literal

import structlog

from rlaifv.adapters.each_outcome import each_outcome
from rlaifv.core.decomposition import Decomposition
from rlaifv.core.errors import BackendFailed, Overloaded, RlaifvError, Unavailable
from rlaifv.core.outcomes import Outcome
from rlaifv.ports.services import Answer
from rlaifv.rpc.metrics import Activity

log = structlog.stdlib.get_logger(__name__)

_BATCH: Final = 32
_BATCH_CHARACTERS: Final = 50_000
"""Bounds a batch, so that a short answer does not wait long behind long ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Divider:
    """A function that divides texts, in their order, and the name and version of what it does."""

    divide: Callable[[Sequence[str]], Sequence[Decomposition]]
    version: str


@dataclass(eq=False, slots=True)
class _Waiting:
    text: str
    found: asyncio.Future[Decomposition]


class LocalDecomposer:
    """Divides in one thread; over `max_queue` answers that wait are Overloaded. Use it in one event loop."""

    def __init__(self, divider: Divider, max_queue: int = 4096) -> None:
        self._version = divider.version
        self._divide = divider.divide
        self._max_queue = max_queue
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="decompose")
        self._waiting: deque[_Waiting] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._rows = self._batches = 0
        self._closed = False

    def decompose(self, answers: Sequence[Answer]) -> AsyncIterator[Outcome[Decomposition]]:
        """See ports.services.Decomposer."""
        return each_outcome(answers, self._outcome)

    async def version(self) -> str:
        """Name and version of what divides."""
        return self._version

    def activity(self) -> Activity:
        """For metrics."""
        return Activity(waiting=len(self._waiting), rows=self._rows, batches=self._batches)

    async def close(self) -> None:
        """Forget what waits; what is at work ends."""
        self._closed = True
        if self._worker:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)

    async def _outcome(self, answer: Answer) -> Outcome[Decomposition]:
        try:
            return Outcome(item_id=answer.id, value=await self._submit(answer.text))
        except RlaifvError as error:
            return Outcome(item_id=answer.id, error=error)

    async def _submit(self, text: str) -> Decomposition:
        if self._closed:
            raise Unavailable("the decomposer is being closed; retry")
        if len(self._waiting) >= self._max_queue:
            raise Overloaded(f"{self._max_queue} answers are waiting already; retry after a pause")
        waiting = _Waiting(text, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await waiting.found

    async def _work(self) -> None:
        while batch := self._next_batch():
            self._rows = len(batch)
            found = await self._divided(batch)
            self._rows = 0
            self._batches += 1
            for waiting, result in zip(batch, found, strict=True):
                if waiting.found.done():
                    continue
                if isinstance(result, Decomposition):
                    waiting.found.set_result(result)
                else:
                    waiting.found.set_exception(result)

    def _next_batch(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        characters = 0
        while self._waiting and len(batch) < _BATCH and characters < _BATCH_CHARACTERS:
            waiting = self._waiting.popleft()
            if not waiting.found.done():
                batch.append(waiting)
                characters += len(waiting.text)
        return batch

    async def _divided(self, batch: Sequence[_Waiting]) -> list[Decomposition | RlaifvError]:
        """What became of each; where the batch fails as a whole, each is tried alone, so that only the culprit fails."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._thread, self._divide, [waiting.text for waiting in batch])
            if len(found) != len(batch):
                raise RuntimeError(f"{len(found)} results for {len(batch)} answers")
            return [*found]
        except Exception:
            if len(batch) == 1:
                log.exception("an answer could not be divided")
                return [BackendFailed("the decomposer failed on this answer; its log says how")]
            return [result for waiting in batch for result in await self._divided([waiting])]


async def divider(backend: Literal["grammar", "fake"]) -> Divider:
    """The function that a setting names; the grammar's model is loaded here, in a thread. Raises Unavailable without it."""
    if backend == "grammar":
        return await asyncio.to_thread(_grammar)
    from rlaifv.adapters.fake import decomposer as fake

    return Divider(divide=lambda texts: [fake.divide(text) for text in texts], version=fake.VERSION)


def _grammar() -> Divider:
    from rlaifv.adapters.grammar import GrammarDecomposer

    grammar = GrammarDecomposer()

    def divide(texts: Sequence[str]) -> Sequence[Decomposition]:
        return [replace(found, version=grammar.version) for found in grammar.decompose_many(texts)]

    return Divider(divide=divide, version=grammar.version)
