"""One service at one address: its channel, its statuses as our errors, and patience while it restarts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any, Final, Protocol, TypeVar

import grpc

from rlaifv.core.errors import Overloaded, RlaifvError, Unavailable
from rlaifv.rpc.channel import open_channel
from rlaifv.rpc.errors import from_status, told_retry_after_ms

Req_contra = TypeVar("Req_contra", contravariant=True)
Res_co = TypeVar("Res_co", covariant=True)
Req = TypeVar("Req")
Res = TypeVar("Res")

RETRYABLE: Final = (Unavailable, Overloaded)
"""The server's state, not the request: asking again may help. Only done for calls that may be repeated."""

_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0
_WRITE_LOST: Final = "Internal error from Core"
"""What grpc.aio says, in place of the server's status, where the server ended a stream while a message was being written."""


class UnaryCall(Protocol[Req_contra, Res_co]):
    """One unary method of a stub."""

    def __call__(self, request: Req_contra, *, timeout: float | None = None) -> Awaitable[Res_co]: ...


class FailedCall(Protocol):
    """What gRPC's two kinds of error have in common, the asynchronous one and the other."""

    def code(self) -> grpc.StatusCode: ...

    def details(self) -> str | None: ...

    def trailing_metadata(self) -> Any: ...


class Patience:
    """How long to go on asking: `seconds` since something last worked, for a service that asks to come again.

    One that does not say so cannot be reached; it gets `away_s`, which is the same unless given.
    """

    def __init__(self, seconds: float, away_s: float | None = None) -> None:
        self._seconds = seconds
        self._away_s = seconds if away_s is None else away_s
        self.moved()

    def moved(self) -> None:
        """Something worked: the clock starts anew."""
        self._since = monotonic()
        self._pause_s = _FIRST_PAUSE_S

    async def pause(self, trouble: RlaifvError) -> None:
        """Wait before the next try; raises `trouble` once the patience is over."""
        await asyncio.sleep(self.next_pause_s(trouble))

    def next_pause_s(self, trouble: RlaifvError) -> float:
        """Seconds to wait before the next try, longer each time; raises `trouble` once the patience is over.

        Never shorter than the service asked for, unless the patience ends before. Spread at random, so that the clients of a
        service that was full or away do not all come back at once.
        """
        asked_s = trouble.retry_after_s
        left = (self._away_s if asked_s is None else self._seconds) - (monotonic() - self._since)
        if left <= 0:
            raise trouble
        pause_s = self._pause_s * random.uniform(0.5, 1.0)
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        return min(left, max(pause_s, (asked_s or 0.0) * random.uniform(1.0, 1.5)))


class Connection:
    """A channel to the service `name` at `target` ("host:port"), opened at first use inside the running loop."""

    def __init__(
        self, name: str, target: str, *, patience_s: float, timeout_s: float, away_s: float | None = None
    ) -> None:
        self.service = f"the {name} at {target}"
        self._target = target
        self._patience_s = patience_s
        self._away_s = away_s
        self.timeout_s = timeout_s
        self._channel: grpc.aio.Channel | None = None

    @property
    def channel(self) -> grpc.aio.Channel:
        if self._channel is None:
            self._channel = open_channel(self._target)
        return self._channel

    def patience(self, *, retry: bool = True) -> Patience:
        """A new clock for one piece of work; without `retry` the first trouble is raised."""
        return Patience(self._patience_s, self._away_s) if retry else Patience(0.0)

    async def call(
        self,
        method: Callable[[], UnaryCall[Req, Res]],
        request: Req,
        *,
        timeout_s: float | None = None,
        retry: bool = True,
    ) -> Res:
        """The method's answer. Only calls that may be repeated are tried again, while the service is away."""
        patience = self.patience(retry=retry)
        while True:
            try:
                return await method()(request, timeout=timeout_s or self.timeout_s)
            except grpc.aio.AioRpcError as exc:
                error = self.translated(exc)
                if not isinstance(error, RETRYABLE):
                    raise error from exc
                await patience.pause(error)

    def translated(self, error: grpc.aio.AioRpcError) -> RlaifvError:
        """Our error for a failed call to this service."""
        return translate(error, self.service)

    async def close(self) -> None:
        """Close the channel; calls in flight end."""
        if self._channel is not None:
            await self._channel.close()
            self._channel = None


def translate(error: FailedCall, service: str) -> RlaifvError:
    """Our error for a failed call to `service` ("the labeler at host:port"): its own words, or else what gRPC found."""
    code, details = error.code(), error.details() or ""
    asked_ms = told_retry_after_ms(error.trailing_metadata())
    if code is grpc.StatusCode.UNAVAILABLE and not asked_ms:
        return Unavailable(f"{service} cannot be reached: is it running? ({details})")
    if code is grpc.StatusCode.CANCELLED:
        # Our own cancellation is asyncio.CancelledError, so this came from a server that shut down.
        return Unavailable(f"{service} broke off the call: try again")
    if code is grpc.StatusCode.INTERNAL and (details == _WRITE_LOST or "RST_STREAM" in details):
        return Unavailable(f"{service} broke off the stream: try again")
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return from_status(code, f"{service} does not offer this call: is it the right one?")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return from_status(code, f"{service} did not answer in time: allow it more")
    return from_status(code, details, asked_ms)


async def nothing() -> Any:
    """For callers that have nothing to do before a retry."""
