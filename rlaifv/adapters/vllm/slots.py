"""Who may begin, and when nobody may: places in the engine's batch, handed out in order, and closed while weights change."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rlaifv.core.errors import Overloaded


class Slots:
    """Items begin in order while fewer than `rows` rows are taken; at most `max_waiting` items wait for that.

    Use it in one event loop.
    """

    def __init__(self, rows: int, max_waiting: int) -> None:
        self._rows = rows
        self._max_waiting = max_waiting
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._closed = False
        self._idle = asyncio.Event()
        self._idle.set()
        self.taken = 0

    @property
    def waiting(self) -> int:
        """Items that wait."""
        return len(self._queue)

    @property
    def full(self) -> bool:
        """Whether another item would be refused."""
        return len(self._queue) >= self._max_waiting

    @asynccontextmanager
    async def begin(self, rows: int) -> AsyncIterator[None]:
        """Hold `rows` rows. Raises Overloaded, without waiting, if too many wait already."""
        if self._queue or not self._open:
            await self._turn(rows)
        else:
            self._take(rows)
        try:
            yield
        finally:
            self._give_back(rows)

    @asynccontextmanager
    async def closed(self) -> AsyncIterator[None]:
        """Let nobody begin; entered as soon as nothing is under way any more. Only one may ask for it at a time."""
        self._closed = True
        try:
            await self._idle.wait()
            yield
        finally:
            self._closed = False
            self._admit()

    @property
    def _open(self) -> bool:
        return not self._closed and self.taken < self._rows

    async def _turn(self, rows: int) -> None:
        if self.full:
            raise Overloaded(f"{self._max_waiting} items are waiting already; retry after a pause")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        place = (rows, turn)
        self._queue.append(place)
        try:
            await turn
        except asyncio.CancelledError:
            if place in self._queue:
                self._queue.remove(place)
            else:
                self._give_back(rows)
            raise

    def _admit(self) -> None:
        while self._queue and self._open:
            rows, turn = self._queue.popleft()
            # One that was cancelled a moment ago gives its rows back as soon as it runs.
            self._take(rows)
            if not turn.cancelled():
                turn.set_result(None)

    def _take(self, rows: int) -> None:
        self.taken += rows
        self._idle.clear()

    def _give_back(self, rows: int) -> None:
        self.taken -= rows
        if self.taken == 0:
            self._idle.set()
        self._admit()
