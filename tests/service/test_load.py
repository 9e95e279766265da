"""A thousand clients at once on a labeler that is a process of its own, and clients that behave badly: right answers, memory that
stays, probes that are answered. No test here looks at a clock; `python -m bench.labeler_load` prints how long all of it takes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from bench.labeler_load import Addresses, service
from bench.load_waves import alone, errands, metrics, probing, refusals, wave
from bench.probing import check_anew
from rlaifv.api.v1 import labeler_pb2
from rlaifv.api.v1.labeler_pb2_grpc import LabelerServiceStub
from rlaifv.client import AsyncLabeler, Labeler
from rlaifv.core.errors import Overloaded, TooLarge
from rlaifv.core.images import Image
from rlaifv.ports.services import Questions
from rlaifv.rpc.channel import open_channel
from rlaifv.rpc.convert.verdicts import questions_to_proto
from rlaifv.rpc.errors import told_retry_after_ms
from tests.service.raw import stream
from tests.serving import eventually, picture
from tests.tiny_llava import save_tiny_llava

CLIENTS = 1000
MARGIN = 96 * 2**20
"""What a burst of requests, their tasks and an allocator that keeps its pages may weigh, bytes."""

ASK = "/rlaifv.api.v1.LabelerService/AskQuestions"
ITEM = Questions(id="a", image=picture(), questions=("Is it red?",))
GAUGES = ("rlaifv_calls_in_flight", "rlaifv_items_in_flight", "rlaifv_held_bytes", "rlaifv_queue_depth")


@pytest.fixture(scope="module")
def tiny_llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llava(tmp_path_factory.mktemp("llava"))


async def idle(where: Addresses) -> bool:
    found = await metrics(where.metrics)
    return not any(value for name, value in found.items() if name.startswith(GAUGES))


async def resident(where: Addresses) -> float:
    return (await metrics(where.metrics))["process_resident_memory_bytes"]


async def test_a_thousand_clients_of_a_full_service_get_their_own_answers() -> None:
    async with service("", {"max_queue": "100"}) as where:
        grown = []
        async with probing(where.target, where.metrics) as probes:
            for seed, channels in enumerate((0, 16)):
                wanted = errands(CLIENTS, seed, side_px=32)
                right = await alone(where.target, wanted)
                done = await wave(where.target, wanted, right, channels)
                assert (done.wrong, dict(done.statuses)) == (0, {"OK": CLIENTS})
                await eventually(lambda: idle(where))
                grown.append(await resident(where))
        assert all(kind["seconds"] and not kind["failures"] for kind in probes.values())
        assert refusals(await metrics(where.metrics)) > 0, "the queue was never full: nothing was shown"
        assert grown[1] - grown[0] < MARGIN


async def test_a_thousand_clients_of_a_model_get_the_verdicts_they_get_alone(tiny_llava: Path) -> None:
    settings = {"decomposer": "fake", "feature_cache_bytes": "100000", "max_queue": "500"}
    async with service(str(tiny_llava), settings) as where:
        quarter = errands(CLIENTS // 4, 7, side_px=28)
        wanted, right = 4 * quarter, 4 * await alone(where.target, quarter)
        before = await resident(where)
        done = await wave(where.target, wanted, right, channels=16)
        assert (done.wrong, dict(done.statuses)) == (0, {"OK": CLIENTS})
        await eventually(lambda: idle(where))
        assert await resident(where) - before < MARGIN


async def test_probes_are_answered_while_every_place_is_taken_and_the_rest_are_told_when_to_come_again() -> None:
    async with service("", {"fake_latency_ms": "600000", "max_calls": "200"}) as where:
        async with open_channel(where.target) as channel:
            held = [LabelerServiceStub(channel).AskQuestions(iter([questions_to_proto(ITEM)])) for _ in range(200)]
            waiting = [asyncio.ensure_future(call.read()) for call in held]
            await eventually(lambda: taken(where, 200))

            async def refused() -> int:
                with pytest.raises(grpc.aio.AioRpcError, match="200 calls are in flight") as caught:
                    await stream(channel, ASK, [], labeler_pb2.AskQuestionsResponse)
                assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                return told_retry_after_ms(caught.value.trailing_metadata())  # type: ignore[arg-type]

            hints = await asyncio.gather(*(refused() for _ in range(CLIENTS)))
            assert all(200 <= hint <= 10_000 for hint in hints)
            await asyncio.to_thread(check_anew, where.target)
            assert await taken(where, 200)
            with pytest.raises(Overloaded):
                await asyncio.to_thread(ask_once, where.target)
            for call in held:
                call.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        await eventually(lambda: idle(where))


async def taken(where: Addresses, calls: int) -> bool:
    return (await metrics(where.metrics))["rlaifv_calls_in_flight"] == calls


def ask_once(target: str) -> None:
    with Labeler(target, patience_s=0.0) as labeler:
        labeler.ask(ITEM.image, ITEM.questions)


async def test_the_blocking_client_waits_for_a_full_service_too() -> None:
    async with service("", {"fake_latency_ms": "20", "max_queue": "1"}) as where:

        def ask() -> int:
            with Labeler(where.target) as labeler:
                return len(labeler.ask(ITEM.image, ITEM.questions))

        assert await asyncio.gather(*(asyncio.to_thread(ask) for _ in range(8))) == [1] * 8
        assert refusals(await metrics(where.metrics)) > 0


async def test_requests_that_wait_are_bounded_in_bytes() -> None:
    settings = {"fake_latency_ms": "5", "max_held_bytes": "500000"}
    heavy = Image.of(picture().data + bytes(200_000))
    async with service("", settings) as where, AsyncLabeler(where.target) as labeler:
        found = await asyncio.gather(*(labeler.ask(heavy, ITEM.questions) for _ in range(40)))
        assert len(set(found)) == 1
        assert refusals(await metrics(where.metrics)) > 0
        await eventually(lambda: idle(where))


async def test_clients_that_behave_badly_leave_nothing_behind() -> None:
    async with service("", {"fake_latency_ms": "1"}) as where:
        wanted = errands(50, 3, side_px=32)
        right = await alone(where.target, wanted)
        # First, as what 20 MB messages leave in the allocator comes and goes by as much from one round to the next.
        await asyncio.gather(*(sends_too_much(where.target) for _ in range(5)))
        grown = []
        for _ in range(4):
            good, *_ = await asyncio.gather(
                wave(where.target, wanted, right),
                *(never_reads(where.target) for _ in range(10)),
                *(leaves(where.target) for _ in range(100)),
                *(runs_out_of_time(where.target) for _ in range(100)),
            )
            assert (good.wrong, dict(good.statuses)) == (0, {"OK": 50})
            await eventually(lambda: idle(where))
            grown.append(await resident(where))
        await asyncio.to_thread(check_anew, where.target)
        assert grown[-1] - grown[0] < MARGIN, f"resident after each round: {grown}"


async def never_reads(target: str) -> None:
    """Sends until nobody takes any more, reads nothing, and goes."""
    many = Questions(id="", image=ITEM.image, questions=tuple(f"Is it {n}? {'x' * 200}" for n in range(200)))
    async with open_channel(target) as channel:
        call = LabelerServiceStub(channel).AskQuestions()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                for number in range(2000):
                    request = questions_to_proto(many)
                    request.item_id = str(number)
                    await call.write(request)
        call.cancel()


async def leaves(target: str) -> None:
    """Goes in the middle of the work, without a word."""
    async with open_channel(target) as channel:
        call = LabelerServiceStub(channel).AskQuestions()
        await call.write(questions_to_proto(ITEM))


async def runs_out_of_time(target: str) -> None:
    async with open_channel(target) as channel:
        call = LabelerServiceStub(channel).AskQuestions(iter(endless()), timeout=0.3)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in call:
                pass
        # Where time runs out while a message is being written, grpc.aio loses the status.
        lost = caught.value.details() == "Internal error from Core"
        assert lost or caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def endless() -> Iterator[labeler_pb2.AskQuestionsRequest]:
    number = 0
    while True:
        request = questions_to_proto(ITEM)
        request.item_id = str(number)
        yield request
        number += 1


async def sends_too_much(target: str) -> None:
    async with AsyncLabeler(target) as labeler:
        with pytest.raises(TooLarge, match="over the limit of 20971520"):
            await labeler.ask(Image(data=TOO_MUCH, sha256="0" * 64), ITEM.questions)


TOO_MUCH = bytes(21 * 2**20)
