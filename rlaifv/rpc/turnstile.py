"""Lets calls begin one after another, and seldom while further calls still arrive.

gRPC hands calls over in the order of their arrival, one in each turn of the event loop, and a health probe is a call like any
other. So a burst is first accepted whole, which is quick, and only then worked through: a probe behind a thousand calls waits
until these are accepted, not until they are begun.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

_GAP_S: Final = 0.002
"""Calls that follow each other faster than this are a burst, of which one is let in in each such gap."""


class Turnstile:
    """First come, first served. Use it in one event loop."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._last_arrival = float("-inf")
        self._letting_in: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """Calls that wait to be let in, cancelled ones included until their turn."""
        return len(self._waiting)

    async def pass_through(self) -> None:
        """Returns when this call may begin: at once unless it is part of a burst."""
        loop = asyncio.get_running_loop()
        before, self._last_arrival = self._last_arrival, loop.time()
        if not self._waiting and self._last_arrival - before > _GAP_S:
            return
        place = loop.create_future()
        self._waiting.append(place)
        if self._letting_in is None or self._letting_in.done():
            self._letting_in = asyncio.create_task(self._let_in())
        await place

    async def _let_in(self) -> None:
        clock = asyncio.get_running_loop().time
        while self._waiting:
            arriving = clock() - self._last_arrival < _GAP_S
            await asyncio.sleep(_GAP_S if arriving else 0)
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
