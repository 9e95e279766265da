"""What becomes of every kind of trouble with the endpoint: named, waited out, or told to health."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from time import perf_counter

import pytest

from rlaifv.core.errors import (
    BackendFailed,
    DeadlineExceeded,
    InvalidInput,
    NotFound,
    Overloaded,
    RlaifvError,
    Unavailable,
)
from rlaifv.ports.services import Answer
from tests.serving import collected
from tests.unit.llm.scripted_server import Said, by_sentence, claim, reply
from tests.unit.llm.scripted_world import in_turn, world


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (Said(status=500, content="oops"), Unavailable, "answered 500 (oops)"),
        (Said(status=503, content=""), Unavailable, "answered 503"),
        (Said(reset=True), Unavailable, "cannot be reached"),
        (Said(status=429, content="slow down"), Overloaded, "llm_max_in_flight"),
        (Said(status=401, content="who?"), InvalidInput, "llm_api_key_file"),
        (Said(status=403, content="no"), InvalidInput, "llm_api_key_file"),
        (Said(status=404, content="no such model"), NotFound, "llm_model"),
        (Said(status=400, content="response_format?"), InvalidInput, "llm_guided"),
        (Said(status=422, content="bad field"), InvalidInput, "bad field"),
        (Said(body=b"<html>"), BackendFailed, "is llm_url right?"),
        (Said(body=b'{"choices": []}'), BackendFailed, "is llm_url right?"),
        (Said(body=b'[{"choices": 1}]'), BackendFailed, "is llm_url right?"),
        (Said(content="x", finish="content_filter"), BackendFailed, "content filter"),
        (Said(content=None), BackendFailed, "did not divide"),
        (Said(delay_s=30), DeadlineExceeded, "llm_timeout_s = 0.2"),
    ],
)
async def test_trouble_has_a_name_and_a_remedy(said: Said, kind: type[RlaifvError], words: str) -> None:
    async with world(lambda task: said, endpoint={"timeout_s": 0.2}) as at:
        error = await at.error()
        assert type(error) is kind
        assert words in error.message


@pytest.mark.parametrize(
    "trouble", [Said(status=500), Said(status=429), Said(reset=True), Said(delay_s=2), Said(status=408)]
)
async def test_trouble_that_passes_is_waited_out(trouble: Said) -> None:
    async with world(
        in_turn(trouble, trouble, reply([claim("A dog")])), endpoint={"patience_s": 20, "timeout_s": 1}
    ) as at:
        assert len((await at.divide("A dog.")).claims) == 1
        assert len(at.server.tasks) == 3


async def test_the_pause_that_the_server_asks_for_is_kept() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=3), usegmt=True)
    for header in ({"retry-after": soon}, {"retry-after": "1"}, {"retry-after-ms": "1000"}):
        busy = Said(status=429, headers=header)
        async with world(in_turn(busy, reply([claim("A dog")])), endpoint={"patience_s": 5}) as at:
            begin = perf_counter()
            await at.divide("A dog.")
            assert perf_counter() - begin >= 0.8
    async with world(in_turn(Said(status=429, headers={"retry-after": "60"})), endpoint={"patience_s": 5}) as at:
        begin = perf_counter()
        assert isinstance(await at.error(), Overloaded)
        assert perf_counter() - begin < 5, "a pause that is over the patience is not begun"


async def test_a_server_that_comes_back_loses_nothing() -> None:
    async with world(by_sentence, endpoint={"patience_s": 20}) as at:
        await at.server.stop()
        waiting = asyncio.create_task(at.divide("There is a dog."))
        await asyncio.sleep(0.5)
        with pytest.raises(Unavailable):
            await at.decomposer.check()
        await at.server.start()
        assert len((await waiting).claims) == 1
        await at.decomposer.check()


@pytest.mark.parametrize(
    ("status", "error"), [(200, None), (429, None), (503, Unavailable), (401, InvalidInput), (413, BackendFailed)]
)
async def test_health_is_what_the_list_of_models_says(status: int, error: type[RlaifvError] | None) -> None:
    async with world(by_sentence) as at:
        at.server.listing_status = status
        with pytest.raises(error) if error else nullcontext():
            await at.decomposer.check()


async def test_patience_is_spent_once_and_not_by_one_answer_after_the_other() -> None:
    async with world(by_sentence, endpoint={"patience_s": 1.5, "max_in_flight": 1}) as at:
        await at.server.stop()
        begin = perf_counter()
        found = await collected(at.decomposer.decompose([Answer(id=str(n), text=f"Dog {n}.") for n in range(20)]))
        assert all(isinstance(outcome.error, Unavailable) for outcome in found.values())
        assert perf_counter() - begin < 10
        await at.server.start()
        assert len((await at.divide("There is a dog.")).claims) == 1
        at.server.model = in_turn(Said(status=503), Said(status=503), reply([claim("A cat")]))
        assert len((await at.divide("A cat.")).claims) == 1, "patience begins anew"
