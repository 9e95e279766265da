"""What is remembered, for how long, and that one asks for all who want the same."""

from __future__ import annotations

import asyncio

import pytest

from rlaifv.adapters.llm.memory import Memory
from rlaifv.core.claims import Claim, ClaimType
from rlaifv.core.decomposition import Decomposition
from rlaifv.core.errors import BackendFailed, Unavailable


class Making:
    """Makes a division with one claim; counts, waits until told to go on, fails if told to."""

    def __init__(self) -> None:
        self.made = self.ended_early = 0
        self.go = asyncio.Event()
        self.go.set()
        self.error: BackendFailed | None = None
        self.sources: list[str] = []

    async def __call__(self) -> Decomposition:
        self.made += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.ended_early += 1
            raise
        if self.error:
            raise self.error
        return Decomposition(claims=(Claim(text="x" * 100, type=ClaimType.OTHER, question="y" * 100, start=0, end=1),))

    def memory(self, max_entries: int = 10, max_bytes: int = 10**6) -> Memory:
        return Memory(max_entries=max_entries, max_bytes=max_bytes, count=self.sources.append)


async def test_what_is_known_is_not_made_again() -> None:
    making = Making()
    memory = making.memory()
    first = await memory.get(b"a", making)
    assert await memory.get(b"a", making) is first
    assert (making.made, making.sources) == (1, ["asked", "remembered"])


async def test_those_who_want_the_same_at_once_share_it_and_one_may_leave() -> None:
    making = Making()
    memory = making.memory()
    making.go.clear()
    one, other = (asyncio.create_task(memory.get(b"a", making)) for _ in range(2))
    await asyncio.sleep(0)
    one.cancel()
    await asyncio.gather(one, return_exceptions=True)
    making.go.set()
    assert (await other).claims
    assert (making.made, making.sources, one.cancelled()) == (1, ["asked", "joined"], True)


async def test_making_ends_when_the_last_one_leaves_and_begins_anew_for_the_next() -> None:
    making = Making()
    memory = making.memory()
    making.go.clear()
    leaving = asyncio.create_task(memory.get(b"a", making))
    await asyncio.sleep(0.01)
    leaving.cancel()
    coming = asyncio.create_task(memory.get(b"a", making))
    await asyncio.sleep(0.01)
    making.go.set()
    assert (await coming).claims
    assert (making.made, making.ended_early) in ((2, 1), (1, 0))
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_failures_are_not_remembered_and_reach_all_who_waited() -> None:
    making = Making()
    memory = making.memory()
    making.error = BackendFailed("no")
    found = await asyncio.gather(*(memory.get(b"a", making) for _ in range(3)), return_exceptions=True)
    assert [type(error) for error in found] == [BackendFailed] * 3
    making.error = None
    assert (await memory.get(b"a", making)).claims
    assert making.made == 2


async def test_the_oldest_go_first_and_the_bounds_hold() -> None:
    making = Making()
    memory = making.memory(max_entries=2)
    for key in (b"a", b"b", b"a", b"c", b"a", b"b"):
        await memory.get(key, making)
    assert making.sources == ["asked", "asked", "remembered", "asked", "remembered", "asked"]
    assert len(memory) == 2
    small = making.memory(max_bytes=3000)
    for number in range(10):
        await small.get(bytes([number]), making)
    assert 1 <= len(small) < 10
    assert small.size_bytes <= 3000
    nothing = making.memory(max_bytes=0)
    await nothing.get(b"a", making)
    assert (len(nothing), nothing.size_bytes) == (0, 0)


async def test_a_close_tells_those_who_wait() -> None:
    making = Making()
    memory = making.memory()
    making.go.clear()
    waiting = asyncio.create_task(memory.get(b"a", making))
    await asyncio.sleep(0.01)
    await memory.close()
    with pytest.raises(Unavailable):
        await waiting
