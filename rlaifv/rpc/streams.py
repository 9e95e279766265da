"""Serving a stream of items: each on its own, any order, so many at once, and one bad item never fails its neighbours.

    client ── items ──▶ reader ──▶ one task an item ──▶ answers ──▶ client
                          ▲ waits while `max_in_flight` items are at work or their answers unread

The reader takes the next item only when a place is free and a place is free only when an answer has been written, so a client
that does not read its answers stops its own stream (HTTP/2 flow control) and costs no memory here.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

import grpc
import structlog

from rlaifv.api.v1 import records_pb2
from rlaifv.core.errors import BackendFailed, InvalidInput, RlaifvError
from rlaifv.core.outcomes import Outcome
from rlaifv.rpc.convert.values import status_to_proto
from rlaifv.rpc.errors import to_status
from rlaifv.rpc.metrics import CallMetrics
from rlaifv.rpc.wire import Malformed

log = structlog.stdlib.get_logger(__name__)

_REMEMBERED_IDS: Final = 65_536


class ItemRequest(Protocol):
    """Any streamed request: it names its item."""

    @property
    def item_id(self) -> str: ...

    def ByteSize(self) -> int: ...


Req = TypeVar("Req", bound=ItemRequest)
Res = TypeVar("Res")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemStream(Generic[Req, Res]):
    """How the items of one method are served.

    `handle` answers one item or raises; `failed` makes the answer that only carries a status. `method` labels the metrics.
    """

    method: str
    handle: Callable[[Req], Awaitable[Res]]
    failed: Callable[[str, records_pb2.ItemStatus], Res]
    max_in_flight: int
    metrics: CallMetrics

    async def serve(self, requests: AsyncIterator[Req | Malformed]) -> AsyncIterator[Res]:
        """The answers, as they come. Closing this iterator cancels all items at work."""
        places = asyncio.Semaphore(self.max_in_flight)
        answers: asyncio.Queue[Res | None] = asyncio.Queue()
        reader = asyncio.create_task(self._read(requests, places, answers))
        try:
            while (answer := await answers.get()) is not None:
                yield answer
                places.release()
            await reader
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _read(
        self, requests: AsyncIterator[Req | Malformed], places: asyncio.Semaphore, answers: asyncio.Queue[Res | None]
    ) -> None:
        seen: OrderedDict[str, None] = OrderedDict()
        try:
            # An item's failure is an answer, so a task of this group only ever fails by a fault of ours.
            async with asyncio.TaskGroup() as group:
                await places.acquire()
                async for request in requests:
                    repeated = request.item_id in seen
                    seen[request.item_id] = None
                    if len(seen) > _REMEMBERED_IDS:
                        seen.popitem(last=False)
                    group.create_task(self._answer(request, repeated, answers))
                    await places.acquire()
        finally:
            answers.put_nowait(None)

    async def _answer(self, request: Req | Malformed, repeated: bool, answers: asyncio.Queue[Res | None]) -> None:
        code = grpc.StatusCode.OK
        with self.metrics.item(self.method):
            try:
                with self.metrics.backlog.holding(_size(request)):
                    answer = await self.handle(_checked(request, repeated))
            except Exception as error:
                if not isinstance(error, RlaifvError):
                    log.error("an item failed unexpectedly", method=self.method, exc_info=error)
                code, _ = to_status(error)
                answer = self.failed(request.item_id, status_to_proto(error, self.metrics.backlog))
        self.metrics.items.labels(self.method, code.name).inc()
        answers.put_nowait(answer)


async def until(event: asyncio.Event, values: AsyncIterator[T]) -> AsyncGenerator[T, None]:
    """The values up to the event; closing this iterator closes `values`."""
    stopped = asyncio.create_task(event.wait())
    coming: asyncio.Future[T] | None = None
    try:
        while True:
            coming = asyncio.ensure_future(anext(values))
            await asyncio.wait((coming, stopped), return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                return
            try:
                value = coming.result()
            except StopAsyncIteration:
                return
            yield value
    finally:
        waiting = [task for task in (coming, stopped) if task is not None and not task.done()]
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        if isinstance(values, AsyncGenerator):
            await values.aclose()


async def only(outcomes: AsyncIterator[Outcome[T]]) -> T:
    """The value of the one item that was asked for; raises its error."""
    async for outcome in outcomes:
        return outcome.unwrap()
    raise BackendFailed("the model gave no outcome for an item")


def _size(request: ItemRequest | Malformed) -> int:
    return 0 if isinstance(request, Malformed) else request.ByteSize()


def _checked(request: Req | Malformed, repeated: bool) -> Req:
    if isinstance(request, Malformed):
        raise request.error
    if not request.item_id:
        raise InvalidInput("item_id is empty: give every item of a stream its own, it names the answer")
    if repeated:
        raise InvalidInput.field("item_id", request.item_id, "was used before on this stream: give every item its own")
    return request
