"""The seam between our exceptions and gRPC: every call of our services passes here, unary or streaming."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any

import grpc
import structlog

from rlaifv.core.errors import RlaifvError
from rlaifv.rpc.errors import retry_metadata, to_status
from rlaifv.rpc.gate import OUR_METHODS, Gate
from rlaifv.rpc.metrics import CallMetrics
from rlaifv.rpc.wire import Malformed, tolerant

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]

log = structlog.stdlib.get_logger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Answers our errors with their status, unknown ones with INTERNAL and a traceback in the log; counts and times calls."""

    def __init__(self, gate: Gate, metrics: CallMetrics) -> None:
        self._gate = gate
        self._metrics = metrics
        self._wrapped: dict[Handler, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith(OUR_METHODS):
            return handler
        if handler not in self._wrapped:
            self._wrapped[handler] = self._wrap(handler, method.rpartition("/")[2])
        return self._wrapped[handler]

    def _wrap(self, handler: Any, method: str) -> Handler:
        codec = {
            "request_deserializer": tolerant(handler.request_deserializer),
            "response_serializer": handler.response_serializer,
        }
        if handler.request_streaming and handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(self._streaming(handler.stream_stream, method), **codec)
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(self._streaming(handler.unary_stream, method), **codec)
        if handler.request_streaming:
            return grpc.stream_unary_rpc_method_handler(self._unary(handler.stream_unary, method), **codec)
        return grpc.unary_unary_rpc_method_handler(self._unary(handler.unary_unary, method), **codec)

    def _unary(self, behaviour: Callable[..., Awaitable[Any]], method: str) -> Callable[..., Awaitable[Any]]:
        async def call(request: Any, context: Context) -> Any:
            with self._observed(method) as ended:
                try:
                    await self._gate.turnstile.pass_through()
                    _refuse_malformed(request)
                    return await behaviour(request, context)
                except Exception as error:  # noqa: BLE001 - the top of a call: nothing may leak past it
                    await ended(error, context)

        return call

    def _streaming(
        self, behaviour: Callable[..., AsyncIterator[Any]], method: str
    ) -> Callable[..., AsyncIterator[Any]]:
        async def call(request: Any, context: Context) -> AsyncIterator[Any]:
            with self._observed(method) as ended:
                try:
                    await self._gate.turnstile.pass_through()
                    _refuse_malformed(request)
                    async with aclosing(behaviour(request, context)) as responses:  # type: ignore[type-var]
                        async for response in responses:
                            yield response
                except Exception as error:  # noqa: BLE001 - the top of a call: nothing may leak past it
                    await ended(error, context)

        return call

    @contextmanager
    def _observed(self, method: str) -> Iterator[Callable[[Exception, Context], Awaitable[None]]]:
        """Counts and times the call; gives what ends it with an error's status."""
        begin, code = perf_counter(), grpc.StatusCode.OK

        async def ended(error: Exception, context: Context) -> None:
            nonlocal code
            if isinstance(error, grpc.aio.AbortError):
                code = grpc.StatusCode.UNKNOWN
                raise error
            code, message = to_status(error)
            if not isinstance(error, RlaifvError):
                log.error("a call failed unexpectedly", method=method, exc_info=error)
            await context.abort(code, message, trailing_metadata=retry_metadata(error, self._metrics.backlog))

        with self._gate.passing():
            try:
                yield ended
            except (asyncio.CancelledError, GeneratorExit):
                code = grpc.StatusCode.CANCELLED
                raise
            finally:
                self._metrics.calls.labels(method, code.name).inc()
                self._metrics.call_seconds.labels(method).observe(perf_counter() - begin)


def _refuse_malformed(request: Any) -> None:
    if isinstance(request, Malformed):
        raise request.error
