"""The labeler on Triton's protocol: what is sent, what is shared, what is repeated, and what every failure becomes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc
import pytest

from rlaifv.adapters.triton.labeler import TritonLabeler, TritonOptions
from rlaifv.core.errors import (
    BackendFailed,
    DeadlineExceeded,
    InvalidInput,
    Overloaded,
    RlaifvError,
    TooLarge,
    Unavailable,
)
from rlaifv.core.images import Image
from rlaifv.ports.services import Questions
from tests.serving import collected, eventually, picture
from tests.unit.triton.scripted import VERSION, Answer, Asked, Failure, ScriptedTriton, at_once, p_yes, scripted

FAST = TritonOptions(patience_s=0.0, timeout_s=5.0, probe_s=0.2)


@asynccontextmanager
async def asking(
    answer: Answer = at_once, options: TritonOptions = FAST
) -> AsyncIterator[tuple[TritonLabeler, ScriptedTriton]]:
    async with scripted(answer) as triton:
        labeler = TritonLabeler(triton.target, options=options)
        try:
            yield labeler, triton
        finally:
            await labeler.close()


def item(name: str, *questions: str, image: Image | None = None) -> Questions:
    return Questions(id=name, image=image or picture(), questions=questions)


async def one(labeler: TritonLabeler, asked: Questions) -> Any:
    return (await collected(labeler.ask([asked])))[asked.id].unwrap()


class Gate:
    """Holds every request back until it is opened."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def __call__(self, _: Asked) -> str:
        await self.open.wait()
        return VERSION


async def test_a_question_is_sent_once_and_answered_as_often_as_it_was_asked() -> None:
    async with asking() as (labeler, triton):
        verdicts = await one(labeler, item("a", "Is it red?", "Is it blue?", "Is it red?"))
    assert [asked.questions for asked in triton.asked] == [("Is it red?", "Is it blue?")]
    assert [verdict.question for verdict in verdicts] == ["Is it red?", "Is it blue?", "Is it red?"]
    assert [verdict.p_yes for verdict in verdicts] == [p_yes("Is it red?"), p_yes("Is it blue?"), p_yes("Is it red?")]
    assert {(verdict.p_no, verdict.labeler_version) for verdict in verdicts} == {(0.25, VERSION)}
    assert triton.asked[0].image == picture().data
    assert triton.asked[0].timeout_us == 5_000_000


async def test_items_about_one_picture_share_the_questions_under_way() -> None:
    gate = Gate()
    async with asking(gate) as (labeler, triton):
        first = asyncio.create_task(one(labeler, item("a", "Is it red?", "Is it blue?")))
        await eventually(lambda: len(triton.asked) == 1)
        second = asyncio.create_task(one(labeler, item("b", "Is it blue?", "Is it round?")))
        other = asyncio.create_task(one(labeler, item("c", "Is it blue?", image=picture("blue"))))
        await eventually(lambda: len(triton.asked) == 3)
        gate.open.set()
        await asyncio.gather(first, second, other)
        assert [verdict.question for verdict in second.result()] == ["Is it blue?", "Is it round?"]
        assert len(await one(labeler, item("d", "Is it red?"))) == 1
    assert sorted(asked.questions for asked in triton.asked) == [
        ("Is it blue?",),
        ("Is it red?",),
        ("Is it red?", "Is it blue?"),
        ("Is it round?",),
    ]


async def test_a_bad_question_fails_who_asked_it_and_not_who_shared_the_request() -> None:
    gate = Gate()

    async def refuse(asked: Asked) -> str:
        await gate(asked)
        if "bad" in asked.questions:
            raise Failure(grpc.StatusCode.INVALID_ARGUMENT, "InvalidInput: question = 'bad': is bad")
        return VERSION

    async with asking(refuse) as (labeler, triton):
        culprit = asyncio.create_task(collected(labeler.ask([item("a", "good", "bad")])))
        await eventually(lambda: len(triton.asked) == 1)
        bystander = asyncio.create_task(one(labeler, item("b", "good", "better")))
        await eventually(lambda: len(triton.asked) == 2)
        gate.open.set()
        error = (await culprit)["a"].error
        assert isinstance(error, InvalidInput)
        assert error.message == "question = 'bad': is bad"
        assert [verdict.question for verdict in await bystander] == ["good", "better"]


async def test_a_request_goes_on_while_anybody_waits_for_it() -> None:
    gate = Gate()
    async with asking(gate) as (labeler, triton):
        first = asyncio.create_task(one(labeler, item("a", "Is it red?")))
        await eventually(lambda: len(triton.asked) == 1)
        second = asyncio.create_task(one(labeler, item("b", "Is it red?")))
        await asyncio.sleep(0.05)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        gate.open.set()
        assert len(await second) == 1
    assert (len(triton.asked), triton.cancelled) == (1, 0)


async def test_what_nobody_waits_for_is_cancelled_inside_triton_and_can_be_asked_again() -> None:
    gate = Gate()
    async with asking(gate) as (labeler, triton):
        asked = asyncio.create_task(one(labeler, item("a", "Is it red?")))
        await eventually(lambda: len(triton.asked) == 1)
        asked.cancel()
        again = asyncio.create_task(one(labeler, item("a", "Is it red?")))
        await eventually(lambda: triton.cancelled == 1)
        gate.open.set()
        assert len(await again) == 1
        assert labeler.activity().waiting == labeler.activity().rows == 0


async def test_many_questions_are_sent_in_bounded_requests() -> None:
    questions = tuple(f"Is there a thing number {n}?" for n in range(23))
    async with asking(options=replace(FAST, max_request_questions=10)) as (labeler, triton):
        verdicts = await one(labeler, item("a", *questions))
    assert tuple(verdict.question for verdict in verdicts) == questions
    assert sorted(len(asked.questions) for asked in triton.asked) == [3, 10, 10]


async def test_what_is_over_the_size_of_a_request_is_not_sent() -> None:
    image = picture()
    limit = len(image.data) + 4 + 20
    async with asking(options=replace(FAST, max_request_bytes=limit)) as (labeler, triton):
        assert len(await one(labeler, item("a", "x" * 20, "y" * 8, "z" * 8, "w"))) == 4
        with pytest.raises(TooLarge, match=f"limit of {limit}"):
            await one(labeler, item("b", "x" * 21))
    assert sorted(asked.questions for asked in triton.asked) == [("w",), ("x" * 20,), ("y" * 8, "z" * 8)]


async def test_half_a_character_fails_alone() -> None:
    async with asking() as (labeler, _):
        found = await collected(labeler.ask([item("a", "Is it \ud83d?"), item("b", "Is it?")]))
    assert isinstance(found["a"].error, InvalidInput)
    assert len(found["b"].unwrap()) == 1


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, "InvalidInput: question is empty", InvalidInput("question is empty")),
        (grpc.StatusCode.INVALID_ARGUMENT, "TooLarge: image: too much", TooLarge("image: too much")),
        (grpc.StatusCode.INTERNAL, "BackendFailed: internal error", BackendFailed("internal error")),
        (grpc.StatusCode.INTERNAL, "Stub process 'labeler_0_0' is not healthy.", Unavailable("has died")),
        (grpc.StatusCode.NOT_FOUND, "Request for unknown model: 'labeler' is not found", Unavailable("loading?")),
        (grpc.StatusCode.UNAVAILABLE, "[request id: 1] Exceeds maximum queue size", Overloaded("queue")),
        (grpc.StatusCode.UNAVAILABLE, "Request timeout expired", DeadlineExceeded("in time")),
        (grpc.StatusCode.UNAVAILABLE, "Server is stopping", Unavailable("cannot be reached")),
        (grpc.StatusCode.CANCELLED, "", Unavailable("broke off")),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "message larger than max (9 vs. 8)", TooLarge("larger than max")),
        (grpc.StatusCode.INVALID_ARGUMENT, "unexpected shape", BackendFailed("unexpected shape")),
        (grpc.StatusCode.UNKNOWN, "what?", BackendFailed("what?")),
    ],
    ids=lambda value: value.name if isinstance(value, grpc.StatusCode) else None,
)
async def test_every_status_is_one_of_our_errors(code: grpc.StatusCode, message: str, expected: RlaifvError) -> None:
    async def fail(_: Asked) -> str:
        raise Failure(code, message)

    async with asking(fail) as (labeler, _):
        with pytest.raises(RlaifvError) as caught:
            await one(labeler, item("a", "Is it red?"))
    assert type(caught.value) is type(expected)
    assert expected.message in caught.value.message


async def test_an_answer_that_takes_too_long_is_given_up() -> None:
    async with asking(Gate(), replace(FAST, timeout_s=0.1)) as (labeler, triton):
        with pytest.raises(DeadlineExceeded):
            await one(labeler, item("a", "Is it red?"))
        await eventually(lambda: triton.cancelled == 1)


async def test_a_server_that_is_away_is_waited_for_and_a_fault_of_the_request_is_not_repeated() -> None:
    tries = 0

    async def at_third(asked: Asked) -> str:
        nonlocal tries
        tries += 1
        if "bad" in asked.questions:
            raise Failure(grpc.StatusCode.INVALID_ARGUMENT, "InvalidInput: no")
        if tries < 3:
            raise Failure(grpc.StatusCode.INTERNAL, "Stub process 'labeler_0_0' is not healthy.")
        return VERSION

    async with asking(at_third, replace(FAST, patience_s=10)) as (labeler, _):
        assert len(await one(labeler, item("a", "Is it red?"))) == 1
        assert tries == 3
        with pytest.raises(InvalidInput):
            await one(labeler, item("b", "bad"))
        assert tries == 4


async def test_nobody_there_is_unavailable_once_the_patience_is_over() -> None:
    labeler = TritonLabeler("127.0.0.1:1", options=replace(FAST, patience_s=0.3))
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1 cannot be reached"):
        await one(labeler, item("a", "Is it red?"))
    with pytest.raises(Unavailable):
        await labeler.check()
    await labeler.close()


async def test_a_full_queue_slows_one_caller_down_and_turns_another_away() -> None:
    gate = Gate()
    async with asking(gate, replace(FAST, max_waiting=2, max_in_flight=1)) as (labeler, triton):
        many = asyncio.create_task(collected(labeler.ask([item(str(n), f"Is it {n}?") for n in range(5)])))
        await eventually(lambda: triton.at_work == 1)
        with pytest.raises(Overloaded, match="2 items are waiting"):
            await one(labeler, item("late", "Is it?"))
        gate.open.set()
        assert [outcome.error for outcome in (await many).values()] == [None] * 5
        assert len(await one(labeler, item("later", "Is it?"))) == 1
    assert triton.most_at_work == 1


async def test_an_item_never_mixes_two_versions() -> None:
    """Triton comes back with other weights between the two requests of an item."""
    versions = iter(["a" * 64, *["b" * 64] * 9])

    async def next_version(_: Asked) -> str:
        return next(versions)

    heard: list[str] = []
    async with scripted(next_version) as triton:
        labeler = TritonLabeler(
            triton.target, options=replace(FAST, max_request_questions=1, max_in_flight=1), on_version=heard.append
        )
        verdicts = await one(labeler, item("a", "Is it red?", "Is it blue?"))
        await labeler.close()
    assert {verdict.labeler_version for verdict in verdicts} == {"b" * 64}
    assert heard == ["a" * 64, "b" * 64]
    assert labeler.version == "b" * 64
    assert len(triton.asked) == 4


async def test_a_probe_is_a_request_without_questions_before_all_others() -> None:
    probes: list[Asked] = []

    async def listen(asked: Asked) -> str:
        probes.append(asked)
        return VERSION

    async with asking(listen) as (labeler, _):
        await labeler.check()
        assert labeler.version == VERSION
    assert [(probe.questions, probe.image, probe.priority) for probe in probes] == [((), b"", 1)]


async def test_a_probe_without_answer_is_unavailable_unless_others_are_answered() -> None:
    silent = asyncio.Event()

    async def answer_questions(asked: Asked) -> str:
        if not asked.questions:
            await silent.wait()
        return VERSION

    async with asking(answer_questions) as (labeler, _):
        with pytest.raises(Unavailable, match=r"says nothing for 0\.2 s"):
            await labeler.check()
        checking = asyncio.create_task(labeler.check())
        await asyncio.sleep(0.05)
        await one(labeler, item("a", "Is it red?"))
        await checking


async def test_an_item_without_questions_needs_no_triton() -> None:
    async with asking() as (labeler, triton):
        assert await one(labeler, item("a")) == ()
    assert triton.asked == []
