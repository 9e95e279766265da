"""What went wrong at an OpenAI-compatible endpoint, as our errors: whose fault, what to change, whether to ask again and when."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpx2
import openai

from rlaifv.core.errors import (
    BackendFailed,
    DeadlineExceeded,
    InvalidInput,
    NotFound,
    Overloaded,
    RlaifvError,
    Unavailable,
)

_NO_ROOM: Final = re.compile(
    r"context[ _]length|context[ _]window|max_model_len|maximum model length|too many tokens|too long", re.IGNORECASE
)
_TRANSIENT: Final = frozenset({408, 409, 425})
_LONGEST_QUOTE: Final = 200


class NoRoom(Exception):
    """Text and reply together are too long for the model or for the tokens that it may write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """`error` is what a caller gets; `result` labels the metric; `pause_s` is what the endpoint asks to wait at least.

    `no_room`: the request was too long for the model, so that parts of it may do.
    """

    error: RlaifvError
    result: str
    again: bool = False
    pause_s: float = 0.0
    no_room: bool = False


def out_of_time(where: str, timeout_s: float) -> Failure:
    """The endpoint took too long."""
    message = f"{where} did not answer within llm_timeout_s = {timeout_s:g}: allow more, or ask for less at once"
    return Failure(error=DeadlineExceeded(message), result="timeout", again=True)


def failure(exc: openai.OpenAIError, where: str, timeout_s: float) -> Failure:
    """The failure behind an exception of the client."""
    if isinstance(exc, openai.APIStatusError):
        return _refusal(exc, where)
    if isinstance(exc, openai.APITimeoutError) and not isinstance(exc.__cause__, httpx2.ConnectTimeout):
        return out_of_time(where, timeout_s)
    if isinstance(exc, openai.APIConnectionError):
        reason = str(exc.__cause__ or exc) or type(exc.__cause__).__name__
        error = Unavailable(f"{where} cannot be reached: is it running? ({reason})")
        return Failure(error=error, result="unreachable", again=True)
    return Failure(error=BackendFailed(f"{where} could not be asked: {exc}"), result="refused")


def _refusal(exc: openai.APIStatusError, where: str) -> Failure:
    code, said = exc.status_code, _said(exc)
    answer = f"{where} answered {code}{said}"
    if code == 429:
        error: RlaifvError = Overloaded(f"{answer}; ask again later, or lower llm_max_in_flight")
        return Failure(error=error, result="rate_limited", again=True, pause_s=_pause_s(exc.response.headers))
    if code >= 500 or code in _TRANSIENT:
        pause_s = _pause_s(exc.response.headers)
        return Failure(error=Unavailable(answer), result="server_error", again=True, pause_s=pause_s)
    if code in (400, 413, 422) and (code == 413 or _NO_ROOM.search(said)):
        return Failure(error=BackendFailed(answer), result="no_room", no_room=True)
    if code in (401, 403):
        error = InvalidInput(f"{answer}: put a key that it takes into llm_api_key_file")
    elif code == 404:
        error = NotFound(
            f"{answer}: llm_url must end where /chat/completions begins, and llm_model be a model it serves"
        )
    else:
        error = InvalidInput(f"{answer}: if it does not know response_format, set llm_guided to json_object or off")
    return Failure(error=error, result="refused")


def _said(exc: openai.APIStatusError) -> str:
    """The endpoint's own words, in brackets, short and on one line."""
    body = exc.body.get("message") if isinstance(exc.body, dict) else exc.body
    words = " ".join(str(body or "").split())
    return f" ({words[:_LONGEST_QUOTE]})" if words else ""


def _pause_s(headers: httpx2.Headers) -> float:
    """Seconds that the endpoint asks to wait: a number, or until a date; 0 where it asks for none."""
    for name, seconds in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) * seconds)
        except (KeyError, ValueError):
            continue
    try:
        until = parsedate_to_datetime(headers.get("retry-after", ""))
    except (TypeError, ValueError):
        return 0.0
    return max(0.0, (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
