"""Divisions made lately, by content; what several ask for at once is made once."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, Literal

from rlaifv.core.decomposition import Decomposition
from rlaifv.core.errors import Unavailable

Source = Literal["asked", "joined", "remembered"]

_RECORD_BYTES: Final = 400
"""About what a claim costs beside its characters."""


@dataclass(eq=False, slots=True)
class _Flight:
    task: asyncio.Task[Decomposition]
    waiting: int = 0


class Memory:
    """Holds at most `max_entries` divisions and about `max_bytes`; the ones used longest ago go first. Failures are not kept."""

    def __init__(self, *, max_entries: int, max_bytes: int, count: Callable[[Source], None]) -> None:
        """`count` is told for each `get` where its result came from."""
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._count = count
        self._kept: OrderedDict[bytes, tuple[Decomposition, int]] = OrderedDict()
        self._flights: dict[bytes, _Flight] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def size_bytes(self) -> int:
        """About how much is kept."""
        return self._bytes

    async def get(self, key: bytes, make: Callable[[], Coroutine[Any, Any, Decomposition]]) -> Decomposition:
        """The division for `key`, made by `make` if it is not known. Making ends when nobody waits for it any more."""
        if key in self._kept:
            self._kept.move_to_end(key)
            self._count("remembered")
            return self._kept[key][0]
        flight = self._flights.get(key)
        self._count("joined" if flight else "asked")
        if flight is None:
            flight = self._flights[key] = _Flight(asyncio.create_task(self._make(key, make)))
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        except asyncio.CancelledError:
            if flight.task.cancelled() and not _is_being_cancelled():
                raise Unavailable("the decomposer is being closed; retry") from None
            raise
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                self._forget(key, flight)
                flight.task.cancel()

    async def close(self) -> None:
        """End what is being made; whoever waits for it gets Unavailable."""
        tasks = [flight.task for flight in self._flights.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _make(self, key: bytes, make: Callable[[], Coroutine[Any, Any, Decomposition]]) -> Decomposition:
        try:
            made = await make()
            self._keep(key, made)
            return made
        finally:
            flight = self._flights.get(key)
            if flight is not None and flight.task is asyncio.current_task():
                del self._flights[key]

    def _forget(self, key: bytes, flight: _Flight) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]

    def _keep(self, key: bytes, made: Decomposition) -> None:
        size = _size_bytes(made)
        if size > self._max_bytes:
            return
        self._kept[key] = (made, size)
        self._bytes += size
        while len(self._kept) > self._max_entries or self._bytes > self._max_bytes:
            _, (_, dropped) = self._kept.popitem(last=False)
            self._bytes -= dropped


def _size_bytes(made: Decomposition) -> int:
    characters = sum(len(claim.text) + len(claim.question) for claim in made.claims)
    return _RECORD_BYTES * (1 + len(made.claims) + len(made.skipped)) + 2 * characters


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
