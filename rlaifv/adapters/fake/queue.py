"""The queue of a fake model: bounded, one item at a time, each taking a set time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rlaifv.core.errors import Overloaded
from rlaifv.rpc.metrics import Activity


class FakeQueue:
    """At most `max_waiting` items wait while one is at work for `latency_s`."""

    def __init__(self, latency_s: float, max_waiting: int) -> None:
        self._latency_s = latency_s
        self._max_waiting = max_waiting
        self._model = asyncio.Lock()
        self._present = 0
        self._done = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for the model; raises Overloaded where too many wait already."""
        if self._present > self._max_waiting:
            raise Overloaded(f"{self._max_waiting} items are waiting already; retry after a pause")
        self._present += 1
        try:
            async with self._model:
                await asyncio.sleep(self._latency_s)
                yield
                self._done += 1
        finally:
            self._present -= 1

    def activity(self) -> Activity:
        """For metrics."""
        return Activity(waiting=max(0, self._present - 1), rows=min(1, self._present), batches=self._done)
