"""Streams of items: any order, bounded, item by item, and nothing left at work afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from rlaifv.api.v1.decomposer_pb2 import DecomposeRequest, DecomposeResponse
from rlaifv.core.errors import BackendFailed, NotFound
from rlaifv.core.outcomes import Outcome
from rlaifv.rpc.metrics import CallMetrics
from rlaifv.rpc.streams import ItemStream, only, until
from rlaifv.rpc.wire import Malformed

INVALID, MISSING, INTERNAL = 3, 5, 13


class Items:
    """A stream whose items behave as their answer text says; knows how many were at work at once and which were cancelled."""

    def __init__(self, max_in_flight: int = 4) -> None:
        self.registry = CollectorRegistry()
        self.at_work = self.most = self.read = 0
        self.cancelled: list[str] = []
        self.release = asyncio.Event()
        self.stream: ItemStream[DecomposeRequest, DecomposeResponse] = ItemStream(
            method="Test",
            handle=self._handle,
            failed=lambda item_id, status: DecomposeResponse(item_id=item_id, status=status),
            max_in_flight=max_in_flight,
            metrics=CallMetrics(self.registry),
        )

    async def requests(self, *items: DecomposeRequest | Malformed) -> AsyncIterator[DecomposeRequest | Malformed]:
        for item in items:
            self.read += 1
            yield item

    async def _handle(self, request: DecomposeRequest) -> DecomposeResponse:
        self.at_work += 1
        self.most = max(self.most, self.at_work)
        try:
            if request.answer == "wait":
                await self.release.wait()
            await asyncio.sleep(0)
            if request.answer == "missing":
                raise NotFound("there is none")
            if request.answer == "bug":
                raise KeyError("a secret")
            return DecomposeResponse(item_id=request.item_id)
        except asyncio.CancelledError:
            self.cancelled.append(request.item_id)
            raise
        finally:
            self.at_work -= 1

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


def item(item_id: str, answer: str = "") -> DecomposeRequest:
    return DecomposeRequest(item_id=item_id, answer=answer)


async def statuses(items: Items, *requests: DecomposeRequest | Malformed) -> list[tuple[str, int, str]]:
    answers = [answer async for answer in items.stream.serve(items.requests(*requests))]
    return [(answer.item_id, answer.status.code, answer.status.message) for answer in answers]


async def test_a_failed_item_leaves_its_neighbours_alone() -> None:
    items = Items()
    found = await statuses(items, item("a"), item("b", "missing"), item("c", "bug"), item("d"), Malformed(item_id="e"))
    by_id = {item_id: (code, message) for item_id, code, message in found}
    assert by_id["a"] == by_id["d"] == (0, "")
    assert by_id["b"] == (MISSING, "there is none")
    assert by_id["c"] == (INTERNAL, "internal error")
    assert by_id["e"][0] == INVALID
    assert items.value("rlaifv_items_total", method="Test", code="OK") == 2
    assert items.value("rlaifv_items_total", method="Test", code="INTERNAL") == 1
    assert items.value("rlaifv_items_in_flight", method="Test") == 0


async def test_an_item_needs_a_name_of_its_own() -> None:
    found = await statuses(Items(), item("a"), item("a"), item(""), item("b"))
    assert sorted((item_id, code) for item_id, code, _ in found) == [("", INVALID), ("a", 0), ("a", INVALID), ("b", 0)]


async def test_no_more_items_at_work_than_allowed_and_none_read_beyond() -> None:
    items = Items(max_in_flight=4)
    answers = items.stream.serve(items.requests(*[item(str(n), "wait") for n in range(20)]))
    first = asyncio.ensure_future(anext(answers))
    await asyncio.sleep(0.01)
    assert (items.most, items.read) == (4, 4)
    items.release.set()
    await first
    assert len([answer async for answer in answers]) == 19
    assert items.most == 4


async def test_a_client_that_does_not_read_stops_its_own_stream() -> None:
    items = Items(max_in_flight=4)
    answers = items.stream.serve(items.requests(*[item(str(n)) for n in range(20)]))
    await anext(answers)
    await asyncio.sleep(0.01)
    assert items.read <= 5
    assert len([answer async for answer in answers]) == 19


async def test_who_leaves_frees_the_work() -> None:
    items = Items()
    async with aclosing(items.stream.serve(items.requests(item("a"), item("b", "wait"), item("c", "wait")))) as answers:  # type: ignore[type-var]
        await anext(answers)
        await asyncio.sleep(0)
    assert items.at_work == 0
    assert sorted(items.cancelled) == ["b", "c"]


async def test_an_answer_overtakes_a_slow_one() -> None:
    items = Items()
    answers = items.stream.serve(items.requests(item("slow", "wait"), item("fast")))
    assert (await anext(answers)).item_id == "fast"
    items.release.set()
    assert [answer.item_id async for answer in answers] == ["slow"]


async def test_a_broken_stream_of_requests_ends_with_its_error() -> None:
    async def requests() -> AsyncIterator[Any]:
        yield item("a", "wait")
        await asyncio.sleep(0)
        raise OSError("the line is dead")

    items = Items()
    with pytest.raises(ExceptionGroup):
        _ = [answer async for answer in items.stream.serve(requests())]
    assert items.cancelled == ["a"]


async def test_the_only_outcome() -> None:
    async def outcomes(*found: Outcome[int]) -> AsyncIterator[Outcome[int]]:
        for outcome in found:
            yield outcome

    assert await only(outcomes(Outcome(item_id="a", value=1))) == 1
    with pytest.raises(NotFound):
        await only(outcomes(Outcome(item_id="a", error=NotFound("no"))))
    with pytest.raises(BackendFailed):
        await only(outcomes())


async def test_values_up_to_an_event() -> None:
    stop, closed = asyncio.Event(), asyncio.Event()

    async def values() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
            await asyncio.Event().wait()
        finally:
            closed.set()

    found = []
    async for value in until(stop, values()):
        found.append(value)
        if value == 2:
            asyncio.get_running_loop().call_soon(stop.set)
    assert found == [1, 2]
    assert closed.is_set()

    async def three() -> AsyncIterator[int]:
        for value in range(3):
            yield value

    assert [value async for value in until(asyncio.Event(), three())] == [0, 1, 2]
