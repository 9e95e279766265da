"""Who may call now: nobody while the model loads or the service drains, at most so many at once in between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING, Any

import grpc

from rlaifv.core.errors import Overloaded, RlaifvError, Unavailable
from rlaifv.rpc.errors import retry_metadata, to_status
from rlaifv.rpc.metrics import CallMetrics
from rlaifv.rpc.turnstile import Turnstile

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]

OUR_METHODS = "/rlaifv."
"""Where the methods of our own services begin; health and reflection are let through whatever the state."""


class GateState(Enum):
    """What the gate lets through."""

    LOADING = "the service is loading its model"
    OPEN = ""
    DRAINING = "the service is shutting down"


class Gate(grpc.aio.ServerInterceptor):
    """Refuses calls with UNAVAILABLE unless open, and with RESOURCE_EXHAUSTED over `max_calls`; knows when the last one ended.

    A call that was let in passes the `turnstile` before anything of it is read.
    """

    def __init__(self, max_calls: int, metrics: CallMetrics) -> None:
        self.state = GateState.LOADING
        self._max_calls = max_calls
        self._metrics = metrics
        self._in_flight = 0
        self.turnstile = Turnstile()
        self._idle = asyncio.Event()
        self._idle.set()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        if not handler_call_details.method.startswith(OUR_METHODS):
            return await continuation(handler_call_details)
        if self.state is not GateState.OPEN:
            return self._refuse(Unavailable(f"{self.state.value}: try again"))
        if self._in_flight >= self._max_calls:
            return self._refuse(Overloaded(f"{self._in_flight} calls are in flight, the most allowed: try again"))
        return await continuation(handler_call_details)

    def _refuse(self, error: RlaifvError) -> Handler:
        code, message = to_status(error)
        # Not the method's name: before the lookup that is any text a caller likes.
        self._metrics.calls.labels("(refused)", code.name).inc()

        async def abort(_: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
            await context.abort(code, message, trailing_metadata=retry_metadata(error, self._metrics.backlog))

        # A stream handler refuses calls of any kind: it reads nothing and aborts.
        return grpc.stream_stream_rpc_method_handler(abort)

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Counts one call as in flight."""
        self._in_flight += 1
        self._idle.clear()
        self._metrics.calls_in_flight.set(self._in_flight)
        try:
            yield
        finally:
            self._in_flight -= 1
            self._metrics.calls_in_flight.set(self._in_flight)
            if not self._in_flight:
                self._idle.set()

    async def drain(self, seconds: float) -> bool:
        """Let nobody in any more and wait for those inside, at most `seconds`; whether all ended."""
        self.state = GateState.DRAINING
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True
