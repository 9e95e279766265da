"""Triton's failures as our errors: those of the model carry their kind, the rest is told by status and wording."""

from __future__ import annotations

from typing import Final

import grpc
from tritonclient.utils import InferenceServerException

from rlaifv.adapters.triton.protocol import error_from_text
from rlaifv.core.errors import BackendFailed, DeadlineExceeded, Overloaded, RlaifvError, Unavailable
from rlaifv.rpc.errors import from_status

_CODES: Final = {str(code): code for code in grpc.StatusCode}

_STUB_DIED: Final = "Stub process"
_QUEUE_FULL: Final = "Exceeds maximum queue size"
_QUEUED_TOO_LONG: Final = "timeout expired"


def translate(error: InferenceServerException, service: str) -> RlaifvError:
    """Our error for a failed request to `service` ("Triton at host:port")."""
    message = error.message() or ""
    code = _CODES.get(error.status() or "", grpc.StatusCode.UNKNOWN)
    ours = error_from_text(message)
    if ours is not None:
        return ours
    if _QUEUE_FULL in message:
        return Overloaded(f"the queue of {service} is full: try again")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED or _QUEUED_TOO_LONG in message.lower():
        return DeadlineExceeded(f"{service} did not answer in time: allow it more")
    return _of_the_server(code, message, service)


def _of_the_server(code: grpc.StatusCode, message: str, service: str) -> RlaifvError:
    if _STUB_DIED in message:
        return Unavailable(f"the model in {service} has died: it must be restarted ({message})")
    if code is grpc.StatusCode.NOT_FOUND or "is not ready" in message:
        return Unavailable(f"{service} does not serve the model: is it loading? ({message})")
    if code is grpc.StatusCode.UNAVAILABLE:
        return Unavailable(f"{service} cannot be reached: is it running? ({message})")
    if code is grpc.StatusCode.CANCELLED:
        return Unavailable(f"{service} broke off the request: try again")
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return from_status(code, message)
    return BackendFailed(f"{service} failed ({code.name}): {message}")
