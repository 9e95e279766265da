"""Bytes that are no message are kept as a value that knows which item they were meant for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaifv.api.v1.decomposer_pb2 import DecomposeRequest
from rlaifv.core.errors import InvalidInput
from rlaifv.rpc.wire import Malformed, tolerant

read = tolerant(DecomposeRequest.FromString)


def test_a_good_message_is_read() -> None:
    request = DecomposeRequest(item_id="a", answer="é")
    assert read(request.SerializeToString()) == request


@pytest.mark.parametrize("item_id", ["", "a", "é" * 90], ids=["none", "short", "long"])
def test_text_that_is_no_utf8_leaves_the_name_of_its_item(item_id: str) -> None:
    raw = DecomposeRequest(item_id=item_id, answer="XX").SerializeToString().replace(b"XX", b"\xff\xfe")
    request = read(raw)
    assert isinstance(request, Malformed)
    assert request.item_id == item_id
    assert isinstance(request.error, InvalidInput)


@given(st.binary(max_size=40))
def test_no_bytes_raise(raw: bytes) -> None:
    request = read(raw)
    assert isinstance(request.item_id, str)
