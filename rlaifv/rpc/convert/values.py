"""Texts, enums and statuses: what all other converters are made of."""

from __future__ import annotations

from enum import Enum
from functools import cache
from typing import Any, TypeVar

from rlaifv.api.v1 import records_pb2 as pb
from rlaifv.core.errors import InvalidInput, RlaifvError
from rlaifv.rpc.backlog import Backlog
from rlaifv.rpc.errors import from_status, retry_after_ms, to_status

E = TypeVar("E", bound=Enum)


def text_to_proto(field: str, text: str) -> str:
    """`text`, or InvalidInput where the wire cannot carry it (half of a surrogate pair has no UTF-8)."""
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise InvalidInput.field(
            field, text[exc.start : exc.end], f"character {exc.start} is no Unicode character: remove or replace it"
        ) from exc
    return text


def enum_to_proto(wire: Any, prefix: str, member: Enum) -> Any:
    """The number of `prefix_MEMBER` in the wire enum."""
    return wire.Value(f"{prefix}_{member.name}")


def enum_from_proto(wire: Any, prefix: str, number: int, kind: type[E], default: E | None = None) -> E:
    """The member for a number; 0 (unspecified) gives `default`, and InvalidInput where there is none."""
    if number == 0 and default is not None:
        return default
    names = _names(wire, prefix)
    if number not in names:
        allowed = ", ".join(f"{value} ({name})" for value, name in sorted(names.items()))
        raise InvalidInput.field(prefix.lower(), number, f"must be one of {allowed}")
    return kind[names[number]]


@cache
def _names(wire: Any, prefix: str) -> dict[int, str]:
    return {value: name.removeprefix(f"{prefix}_") for name, value in wire.items() if value}


def status_to_proto(error: BaseException, backlog: Backlog | None = None) -> pb.ItemStatus:
    """The status of an item that failed, with a retry hint where asking again may help."""
    code, message = to_status(error)
    return pb.ItemStatus(code=code.value[0], message=message, retry_after_ms=retry_after_ms(error, backlog))


def status_from_proto(status: pb.ItemStatus) -> RlaifvError | None:
    """The item's error, None if it worked."""
    return from_status(status.code, status.message, status.retry_after_ms) if status.code else None
