"""Every error has a status, every status an error, and the way there and back loses nothing."""

from __future__ import annotations

import grpc
import pytest

from rlaifv.core.errors import BackendFailed, InvalidInput, Overloaded, RlaifvError, TooLarge, Unavailable
from rlaifv.rpc.errors import INTERNAL_ERROR, RETRY_AFTER_KEY, STATUS, from_status, retry_metadata, to_status


def leaves_of(kind: type[RlaifvError]) -> set[type[RlaifvError]]:
    below = {
        leaf for child in kind.__subclasses__() if child.__module__ == kind.__module__ for leaf in leaves_of(child)
    }
    return below or {kind}


def test_every_error_has_a_status_of_its_own() -> None:
    assert leaves_of(RlaifvError) == set(STATUS)
    assert len(set(STATUS.values())) == len(STATUS)


@pytest.mark.parametrize("kind", STATUS)
def test_an_error_comes_back_as_it_was(kind: type[RlaifvError]) -> None:
    code, message = to_status(kind("field = 'x': say y"))
    back = from_status(code, message)
    assert type(back) is kind
    assert back.message == "field = 'x': say y"
    assert type(from_status(code.value[0], message)) is kind


def test_every_grpc_code_but_ok_is_an_error() -> None:
    for code in grpc.StatusCode:
        if code is not grpc.StatusCode.OK:
            assert isinstance(from_status(code, "why"), RlaifvError)
    assert isinstance(from_status(99, "why"), BackendFailed)
    assert from_status(grpc.StatusCode.NOT_FOUND, "").message
    with pytest.raises(ValueError, match="OK"):
        from_status(grpc.StatusCode.OK, "")


def test_what_we_did_not_raise_on_purpose_tells_nothing() -> None:
    assert to_status(ValueError("a secret")) == (grpc.StatusCode.INTERNAL, INTERNAL_ERROR)


def test_a_subclass_has_the_status_of_its_parent() -> None:
    class Special(InvalidInput):
        pass

    assert to_status(Special("x")) == (grpc.StatusCode.INVALID_ARGUMENT, "x")


def test_a_message_that_headers_cannot_carry_is_shortened() -> None:
    _, message = to_status(InvalidInput("車" * 10_000))
    assert len(message.encode()) * 3 < 8192


def test_only_a_busy_or_absent_server_asks_to_come_again() -> None:
    assert dict(retry_metadata(Overloaded("full"))).keys() == {RETRY_AFTER_KEY}
    assert dict(retry_metadata(Unavailable("away"))).keys() == {RETRY_AFTER_KEY}
    assert retry_metadata(InvalidInput("wrong")) == ()


def test_grpcs_own_size_limit_is_not_taken_for_a_full_queue() -> None:
    error = from_status(grpc.StatusCode.RESOURCE_EXHAUSTED, "Received message larger than max (5 vs. 4)")
    assert isinstance(error, TooLarge)
