"""Requests that are no valid message: kept as values, so that one of them fails alone and not the stream it came on.

A protobuf string must be UTF-8; a client in a careless language can send other bytes, and gRPC would end the whole stream.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from google.protobuf.message import DecodeError

from rlaifv.core.errors import InvalidInput

T = TypeVar("T")

_LENGTH_DELIMITED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Malformed:
    """A request that could not be read. `item_id` is its first field where that much was readable, else ""."""

    item_id: str

    @property
    def error(self) -> InvalidInput:
        return InvalidInput(
            "request: the bytes are no valid message; text fields must be UTF-8 and fields must have their declared types"
        )


def tolerant(deserialize: Callable[[bytes], T]) -> Callable[[bytes], T | Malformed]:
    """`deserialize`, but giving Malformed instead of raising for bytes that are no such message."""

    def read(raw: bytes) -> T | Malformed:
        try:
            return deserialize(raw)
        except DecodeError:
            return Malformed(item_id=_first_field(raw))

    return read


def _first_field(raw: bytes) -> str:
    """The text of field 1 if the message begins with it (serialisers write fields in order), else ""."""
    if not raw or raw[0] != (1 << 3 | _LENGTH_DELIMITED):
        return ""
    length, shift, at = 0, 0, 1
    while at < len(raw) and shift < 28:
        byte = raw[at]
        length |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            break
    return raw[at : at + length].decode("utf-8", "replace")[:200]
