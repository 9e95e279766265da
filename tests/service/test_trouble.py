"""A labeler that is down, slow, full, broken or answers neither: the right status, and nothing left at work."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from rlaifv.adapters.fake.behaviour import FakeBehaviour
from rlaifv.adapters.remote.labeler import AnswerToScore, RemoteLabeler
from rlaifv.api.v1 import labeler_pb2
from rlaifv.api.v1.labeler_pb2_grpc import LabelerServiceStub
from rlaifv.core.answers import ScoringRule
from rlaifv.core.errors import BackendFailed, DeadlineExceeded, Overloaded, Unavailable
from rlaifv.core.verdicts import Decision, VerdictRule
from rlaifv.ports.services import Questions
from rlaifv.rpc.channel import open_channel
from rlaifv.rpc.convert.verdicts import questions_to_proto
from rlaifv.rpc.errors import RETRY_AFTER_KEY
from rlaifv.rpc.server import ServiceServer
from services.labeler.settings import LabelerSettings
from tests.serving import collected, eventually, picture, serving

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
FAKE = LabelerSettings(backend="fake", decomposer="fake", health_interval_s=0.02)
ITEM = Questions(id="a", image=picture(), questions=("Is it red?",))


def behaving(behaviour: FakeBehaviour, **changes: object) -> LabelerSettings:
    return FAKE.model_copy(update={"fake_behaviour": behaviour, **changes})


async def reports(channel: grpc.aio.Channel, status: int) -> bool:
    health = health_pb2_grpc.HealthStub(channel)
    named = await health.Check(health_pb2.HealthCheckRequest(service="rlaifv.api.v1.LabelerService"))
    return (await health.Check(health_pb2.HealthCheckRequest())).status == named.status == status


def in_flight(server: ServiceServer) -> float | None:
    return server.metrics.items_in_flight.labels("AskQuestions")._value.get()  # type: ignore[no-any-return]


async def test_down_is_unavailable_and_not_serving() -> None:
    async with serving(behaving(FakeBehaviour.DOWN)) as server, open_channel(server.target) as channel:
        labeler = RemoteLabeler(server.target, patience_s=0.2)
        with pytest.raises(Unavailable, match="the fake labeler is down"):
            await collected(labeler.ask([ITEM]))
        await eventually(lambda: reports(channel, NOT_SERVING))
        assert server.metrics.ready._value.get() == 0
        await labeler.close()


async def test_a_backend_that_comes_back_is_served_again() -> None:
    async with (
        serving(FAKE, lambda ready: replace(ready, check=check)) as server,
        open_channel(server.target) as channel,
    ):
        for dead, status in ((True, NOT_SERVING), (False, SERVING)):
            state["dead"] = dead
            await eventually(partial(reports, channel, status))


state = {"dead": False}


async def check() -> None:
    if state["dead"]:
        raise Unavailable("it died")


async def test_slow_is_a_deadline_and_frees_the_work() -> None:
    async with serving(FAKE.model_copy(update={"fake_latency_ms": 60_000.0})) as server:
        labeler = RemoteLabeler(server.target, patience_s=0.2, stall_s=0.2)
        with pytest.raises(DeadlineExceeded, match=r"said nothing for 0\.2 s"):
            await collected(labeler.ask([ITEM]))
        await eventually(lambda: in_flight(server) == 0)
        async with open_channel(server.target) as channel:
            call = LabelerServiceStub(channel).AskQuestions(iter([questions_to_proto(ITEM)]), timeout=0.2)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call.read()
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await eventually(lambda: in_flight(server) == 0)
        await labeler.close()


async def test_cancelling_the_caller_frees_the_work() -> None:
    async with serving(FAKE.model_copy(update={"fake_latency_ms": 60_000.0})) as server:
        labeler = RemoteLabeler(server.target)
        asking = asyncio.create_task(collected(labeler.ask([ITEM])))
        await eventually(lambda: in_flight(server) == 1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await eventually(lambda: in_flight(server) == 0)
        await labeler.close()


async def test_neither_yes_nor_no_is_undecided_under_a_rule_that_asks_for_mass() -> None:
    async with serving(behaving(FakeBehaviour.NEITHER)) as server:
        labeler = RemoteLabeler(server.target)
        rule = ScoringRule(verdict=VerdictRule(min_mass=0.5))
        item = AnswerToScore(id="a", image=picture(), answer="There is a car.", rule=rule)
        scored = (await collected(labeler.score([item])))["a"].unwrap()
        assert scored.score is None
        assert [judged.decision for judged in scored.claims] == [Decision.UNDECIDED]
        assert scored.claims[0].verdict.mass < 0.01
        await labeler.close()


async def test_a_fault_that_nobody_foresaw_tells_nothing_to_the_caller() -> None:
    async with serving(behaving(FakeBehaviour.BROKEN)) as server:
        labeler = RemoteLabeler(server.target)
        error = (await collected(labeler.ask([ITEM])))["a"].error
        assert isinstance(error, BackendFailed)
        assert error.message == "internal error"
        await labeler.close()


async def test_a_full_queue_is_overloaded_and_waited_for() -> None:
    settings = FAKE.model_copy(update={"fake_latency_ms": 10.0, "max_queue": 1})
    items = [replace(ITEM, id=str(n)) for n in range(8)]
    async with serving(settings) as server:
        async with open_channel(server.target) as channel:
            call = LabelerServiceStub(channel).AskQuestions(iter([questions_to_proto(item) for item in items]))
            codes = [answer.status.code async for answer in call]
        assert set(codes) == {0, grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]}
        patient = RemoteLabeler(server.target, patience_s=10)
        found = await collected(patient.ask(items))
        assert all(outcome.error is None for outcome in found.values())
        impatient = RemoteLabeler(server.target, patience_s=0)
        with pytest.raises(Overloaded, match="waiting already"):
            await collected(impatient.ask(items))
        await patient.close()
        await impatient.close()


async def test_too_many_calls_are_told_when_to_come_again_while_probes_pass() -> None:
    settings = FAKE.model_copy(update={"fake_latency_ms": 60_000.0, "max_calls": 1})
    async with serving(settings) as server, open_channel(server.target) as channel:
        first = LabelerServiceStub(channel).AskQuestions(iter([questions_to_proto(ITEM)]))
        await eventually(lambda: in_flight(server) == 1)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await LabelerServiceStub(channel).GetLabeler(labeler_pb2.GetLabelerRequest())
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert server.metrics.calls.labels("(refused)", "RESOURCE_EXHAUSTED")._value.get() == 1
        assert int(dict(caught.value.trailing_metadata())[RETRY_AFTER_KEY]) > 0
        assert await reports(channel, SERVING)
        first.cancel()


async def test_a_client_that_never_reads_and_then_leaves_frees_its_call() -> None:
    questions = tuple(f"Is it {n}? {'x' * 200}" for n in range(2000))
    async with serving(FAKE) as server, open_channel(server.target) as channel:
        call = LabelerServiceStub(channel).AskQuestions()
        for n in range(40):
            await call.write(questions_to_proto(replace(ITEM, id=str(n), questions=questions)))
            if server.metrics.items.labels("AskQuestions", "OK")._value.get() >= FAKE.max_in_flight:
                break
        await asyncio.sleep(0.3)
        read = server.metrics.items.labels("AskQuestions", "OK")._value.get()
        assert read < 40, "the stream was read on although nobody took the answers"
        call.cancel()
        await eventually(lambda: server.metrics.calls_in_flight._value.get() == 0)
