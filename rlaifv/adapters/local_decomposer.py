"""The Decomposer port over a plain function that divides one answer, run in worker threads so that the loop stays free."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from rlaifv.core.decomposition import Decomposition
from rlaifv.core.errors import Overloaded, RlaifvError
from rlaifv.core.outcomes import Outcome
from rlaifv.ports.services import Answer
from rlaifv.rpc.metrics import Activity


@dataclass(frozen=True, slots=True, kw_only=True)
class Divider:
    """A function that divides one answer, and the name and version of what it does."""

    divide: Callable[[str], Decomposition]
    version: str


class LocalDecomposer:
    """Divides one text at a time in each of `threads`; over `max_queue` answers at once are Overloaded."""

    def __init__(self, divider: Divider, threads: int = 1, max_queue: int = 4096) -> None:
        self.version = divider.version
        self._divide = divider.divide
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="decompose")
        self._parallel = threads
        self._max_queue = max_queue
        self._at_work = 0
        self._done = 0

    async def decompose(self, answers: Sequence[Answer]) -> AsyncIterator[Outcome[Decomposition]]:
        tasks = [asyncio.create_task(self._outcome(answer)) for answer in answers]
        try:
            for task in asyncio.as_completed(tasks):
                yield await task
        finally:
            for one in tasks:
                one.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def activity(self) -> Activity:
        """For metrics."""
        busy = min(self._at_work, self._parallel)
        return Activity(waiting=self._at_work - busy, rows=busy, batches=self._done)

    async def close(self) -> None:
        """Forget what waits; what is at work ends."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)

    async def _outcome(self, answer: Answer) -> Outcome[Decomposition]:
        try:
            return Outcome(item_id=answer.id, value=await self._one(answer))
        except RlaifvError as error:
            return Outcome(item_id=answer.id, error=error)

    async def _one(self, answer: Answer) -> Decomposition:
        if self._at_work >= self._max_queue:
            raise Overloaded(f"{self._at_work} answers wait to be divided, the most allowed: try again")
        self._at_work += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._divide, answer.text)
        finally:
            self._at_work -= 1
            self._done += 1


async def divider(backend: Literal["grammar", "fake"]) -> Divider:
    """The function that a setting names; the grammar's model is loaded here, in a thread."""
    from rlaifv.adapters.fake import decomposer as fake

    return Divider(divide=fake.divide, version=fake.VERSION)
