"""The one map between our errors and gRPC statuses, in both directions, and the retry hint that goes with a busy server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import grpc

from rlaifv.core.errors import (
    AlreadyExists,
    BackendFailed,
    Cancelled,
    Conflict,
    DataLoss,
    DeadlineExceeded,
    InvalidInput,
    NotFound,
    Overloaded,
    RlaifvError,
    StorageFull,
    TooLarge,
    Unavailable,
)
from rlaifv.rpc.backlog import Backlog

STATUS: Final[dict[type[RlaifvError], grpc.StatusCode]] = {
    InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    NotFound: grpc.StatusCode.NOT_FOUND,
    AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    Conflict: grpc.StatusCode.FAILED_PRECONDITION,
    TooLarge: grpc.StatusCode.OUT_OF_RANGE,
    Cancelled: grpc.StatusCode.CANCELLED,
    DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
    StorageFull: grpc.StatusCode.ABORTED,
    DataLoss: grpc.StatusCode.DATA_LOSS,
    BackendFailed: grpc.StatusCode.INTERNAL,
}
"""One status for each leaf of the error tree, no status twice, so that a client gets the same type back."""

_RETRY_AFTER_S: Final[dict[type[RlaifvError], float]] = {Overloaded: 0.2, Unavailable: 1.0}
"""How long a client should stay away before it asks again, where neither the error nor the backlog knows better."""

_LONGEST_HINT_MS: Final = 3_600_000

RETRY_AFTER_KEY: Final = "retry-after-ms"
"""Trailing metadata with the pause in milliseconds."""

INTERNAL_ERROR: Final = "internal error"
"""All that a caller learns of an exception that we did not raise on purpose; the log has the rest."""

# Statuses reach the client in HTTP/2 headers, percent-encoded; over 8 KiB of headers gRPC fails the call another way.
_LONGEST_MESSAGE: Final = 600

_BY_CODE: Final = {code: error for error, code in STATUS.items()} | {
    # Codes that our servers do not send, but gRPC itself and proxies do.
    grpc.StatusCode.UNKNOWN: BackendFailed,
    grpc.StatusCode.UNIMPLEMENTED: NotFound,
    grpc.StatusCode.PERMISSION_DENIED: InvalidInput,
    grpc.StatusCode.UNAUTHENTICATED: InvalidInput,
}
_BY_NUMBER: Final[dict[int, grpc.StatusCode]] = {code.value[0]: code for code in grpc.StatusCode}


def to_status(error: BaseException) -> tuple[grpc.StatusCode, str]:
    """Status and message for an error; anything outside of the family is INTERNAL and tells nothing."""
    for kind in type(error).__mro__:
        if kind in STATUS:
            message = str(error)
            if len(message) > _LONGEST_MESSAGE:
                message = f"{message[: _LONGEST_MESSAGE - 3]}..."
            return STATUS[kind], message
    return grpc.StatusCode.INTERNAL, INTERNAL_ERROR


def from_status(code: grpc.StatusCode | int, message: str, retry_after_ms: int = 0) -> RlaifvError:
    """The error that a status (as enum or number) stands for; an unknown number gives BackendFailed."""
    if isinstance(code, int):
        code = _BY_NUMBER.get(code, grpc.StatusCode.UNKNOWN)
    if code is grpc.StatusCode.OK:
        raise ValueError("OK is no error")
    # gRPC's own size check shares its status with a full queue, but asking again would not help.
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "message larger than max" in message:
        return TooLarge(message)
    text = message or f"the service answered {code.name} without a message"
    return _BY_CODE[code](text, retry_after_s=retry_after_ms / 1000 or None)


def retry_after_ms(error: BaseException, backlog: Backlog | None = None) -> int:
    """How long a client should stay away, milliseconds; 0 where asking again would not help.

    The error's own word counts first; a full queue's then follows from the backlog.
    """
    kind = next((kind for kind in _RETRY_AFTER_S if isinstance(error, kind)), None)
    if kind is None:
        return 0
    told = error.retry_after_s if isinstance(error, RlaifvError) else None
    if told is None and kind is Overloaded and backlog is not None:
        told = backlog.pause_s
    return max(1, round(1000 * (told if told is not None else _RETRY_AFTER_S[kind])))


def retry_metadata(error: BaseException, backlog: Backlog | None = None) -> tuple[tuple[str, str], ...]:
    """Trailing metadata with the retry hint where asking again may help, else none."""
    pause = retry_after_ms(error, backlog)
    return ((RETRY_AFTER_KEY, str(pause)),) if pause else ()


def told_retry_after_ms(metadata: Iterable[tuple[str, str | bytes]] | None) -> int:
    """The retry hint in trailing metadata; 0 where there is none that can be read."""
    for key, value in metadata or ():
        if key == RETRY_AFTER_KEY and str(value).isascii() and str(value).isdigit():
            return min(int(value), _LONGEST_HINT_MS)
    return 0
