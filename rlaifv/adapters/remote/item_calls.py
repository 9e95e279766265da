"""A stream of items to a service, kept up over its restarts: items without an answer yet are asked again, the others not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import grpc

from rlaifv.adapters.remote.connection import RETRYABLE, Connection, Patience, nothing
from rlaifv.api.v1 import records_pb2
from rlaifv.core.errors import BackendFailed, DeadlineExceeded, InvalidInput, RlaifvError, TooLarge, Unavailable
from rlaifv.core.outcomes import Outcome
from rlaifv.rpc.channel import MAX_MESSAGE_BYTES
from rlaifv.rpc.convert.values import status_from_proto


class ItemResponse(Protocol):
    """Any streamed response: it names its item and says what became of it."""

    @property
    def item_id(self) -> str: ...

    @property
    def status(self) -> records_pb2.ItemStatus: ...


Item = TypeVar("Item")
Res = TypeVar("Res", bound=ItemResponse)
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemCalls(Generic[Item, Res, Value]):
    """How items of one method are asked. Only for methods that may be repeated: the same request, the same answer.

    `window` items are unanswered at most, so that neither side piles them up. A stream that says nothing for `stall_s`
    although items are unanswered is given up. `before_retry` runs before items are asked again.
    """

    connection: Connection
    method: Callable[[grpc.aio.Channel], Any]
    item_id: Callable[[Item], str]
    write: Callable[[Item], Any]
    read: Callable[[Res], Value]
    window: int = 64
    stall_s: float = 600.0
    before_retry: Callable[[], Awaitable[None]] = nothing

    async def outcomes(self, items: Iterable[Item]) -> AsyncIterator[Outcome[Value]]:
        """One outcome an item, as they come. Raises Unavailable or Overloaded once the connection's patience is over."""
        waiting: dict[str, Any] = {}
        for item in items:
            refusal = self._prepare(item, waiting)
            if refusal is not None:
                yield Outcome(item_id=self.item_id(item), error=refusal)
        patience = self.connection.patience()
        while waiting:
            trouble: RlaifvError = Unavailable(
                f"{self.connection.service} left {len(waiting)} item(s) without an answer"
            )
            try:
                async with aclosing(self._stream(list(waiting.values()))) as responses:
                    async for response in responses:
                        error = status_from_proto(response.status)
                        if isinstance(error, RETRYABLE):
                            trouble = error
                        elif waiting.pop(response.item_id, None) is not None:
                            patience.moved()
                            yield self._outcome(response, error)
            except RETRYABLE as error:
                trouble = error
            if waiting:
                await patience.pause(trouble)
                await self._prepared_for_retry(patience)

    def _prepare(self, item: Item, waiting: dict[str, Any]) -> RlaifvError | None:
        """Put the item's request to those that wait; the error of an item that cannot be sent."""
        item_id = self.item_id(item)
        if item_id in waiting:
            return InvalidInput.field("item_id", item_id, "was used before on this stream: give every item its own")
        try:
            request = self.write(item)
        except RlaifvError as error:
            return error
        if request.ByteSize() > MAX_MESSAGE_BYTES:
            return TooLarge(
                f"item {item_id!r} has {request.ByteSize()} bytes, over the limit of {MAX_MESSAGE_BYTES}: send less"
            )
        waiting[item_id] = request
        return None

    def _outcome(self, response: Res, error: RlaifvError | None) -> Outcome[Value]:
        if error is not None:
            return Outcome(item_id=response.item_id, error=error)
        try:
            return Outcome(item_id=response.item_id, value=self.read(response))
        except RlaifvError as unreadable:
            message = f"{self.connection.service} gave an answer that cannot be read: {unreadable.message}"
            return Outcome(item_id=response.item_id, error=BackendFailed(message))

    async def _prepared_for_retry(self, patience: Patience) -> None:
        while True:
            try:
                return await self.before_retry()
            except RETRYABLE as error:
                await patience.pause(error)

    async def _stream(self, requests: list[Any]) -> AsyncGenerator[Res, None]:
        """The answers to some requests on one stream; raises what ends it too early."""
        call = self.method(self.connection.channel)()
        places = asyncio.Semaphore(self.window)
        writer = asyncio.create_task(_write_all(call, requests, places))
        try:
            while True:
                async with asyncio.timeout(self.stall_s):
                    response = await call.read()
                if response is grpc.aio.EOF:
                    return
                places.release()
                yield response
        except grpc.aio.AioRpcError as exc:
            raise self.connection.translated(exc) from exc
        except TimeoutError as exc:
            raise DeadlineExceeded(
                f"{self.connection.service} said nothing for {self.stall_s:g} s: it may hang"
            ) from exc
        finally:
            call.cancel()
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)


async def _write_all(call: Any, requests: list[Any], places: asyncio.Semaphore) -> None:
    try:
        for request in requests:
            await places.acquire()
            await call.write(request)
        await call.done_writing()
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        # The call is over; its reader learns why.
        return
