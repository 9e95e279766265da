"""The one map between our errors and gRPC statuses, in both directions, and the retry hint that goes with a busy server."""

from __future__ import annotations

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

RETRY_AFTER_MS: Final[dict[type[RlaifvError], int]] = {Overloaded: 200, Unavailable: 1000}
"""How long a client should pause before it asks again."""

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


def from_status(code: grpc.StatusCode | int, message: str) -> RlaifvError:
    """The error that a status (as enum or number) stands for; an unknown number gives BackendFailed."""
    if isinstance(code, int):
        code = _BY_NUMBER.get(code, grpc.StatusCode.UNKNOWN)
    if code is grpc.StatusCode.OK:
        raise ValueError("OK is no error")
    # gRPC's own size check shares its status with a full queue, but asking again would not help.
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "message larger than max" in message:
        return TooLarge(message)
    return _BY_CODE[code](message or f"the service answered {code.name} without a message")


def retry_metadata(error: BaseException) -> tuple[tuple[str, str], ...]:
    """Trailing metadata with the retry hint where asking again may help, else none."""
    pause = RETRY_AFTER_MS.get(type(error))  # type: ignore[arg-type]
    return () if pause is None else ((RETRY_AFTER_KEY, str(pause)),)
