"""tritonserver and the process of its model, killed under load: callers wait, verdicts are right, versions are the right ones."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from rlaifv.adapters.huggingface.labeler import HuggingFaceLabeler
from rlaifv.adapters.remote.labeler import RemoteLabeler
from rlaifv.adapters.triton.labeler import TritonLabeler, TritonOptions
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.errors import Unavailable
from rlaifv.core.images import Image
from rlaifv.ports.services import Questions
from rlaifv.rpc.channel import open_channel
from services.labeler.settings import LabelerSettings
from tests.servers.triton.launched import Launched, launched, running
from tests.serving import collected, eventually, serving
from tests.tiny_llava import picture

pytestmark = pytest.mark.servers


def asked(n: int) -> Questions:
    """The n-th item: 8 pictures, 5 sets of questions."""
    questions = tuple(f"Is there a {thing} on the table?" for thing in ("cat", "dog", "cup", "bus", "car")[: n % 5 + 1])
    return Questions(id=f"item {n}", image=Image.of(picture((n % 8 * 30, 80, 60))), questions=questions)


async def embedded(model: Path, items: list[Questions]) -> dict[str, Any]:
    labeler = HuggingFaceLabeler.open(Checkpoint(uri=str(model), digest=""))
    try:
        return await collected(labeler.ask(items))
    finally:
        labeler.close()


@asynccontextmanager
async def load(labeler: RemoteLabeler) -> AsyncIterator[dict[int, Any]]:
    """Twelve callers that ask one item after the other, as long as the block runs; all that they got, by item."""
    found: dict[int, Any] = {}
    on = True

    async def caller(first: int) -> None:
        n = first
        while on:
            one = asked(n)
            found[n] = (await collected(labeler.ask([one])))[one.id]
            n += 12

    callers = [asyncio.create_task(caller(first)) for first in range(12)]
    try:
        yield found
        on = False
        await asyncio.gather(*callers)
    finally:
        for task in callers:
            task.cancel()
        await asyncio.gather(*callers, return_exceptions=True)


async def serving_status(target: str) -> int:
    async with open_channel(target) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=1)
        return int(answer.status)


@asynccontextmanager
async def in_front_of(triton: Launched) -> AsyncIterator[tuple[RemoteLabeler, str]]:
    """The labeler service with short intervals, its client, and its address."""
    settings = LabelerSettings(
        backend="triton", triton_target=triton.target, decomposer="fake", health_interval_s=0.2, triton_patience_s=90
    )
    async with serving(settings) as server:
        remote = RemoteLabeler(server.target, patience_s=90)
        yield remote, server.target
        await remote.close()


async def test_killed_under_load_nothing_is_lost_and_every_verdict_is_right(tiny: Path, tmp_path: Path) -> None:
    """First tritonserver itself, then only the process of its model, which Triton does not notice."""
    up, down = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    async with launched(tiny, tmp_path) as triton, in_front_of(triton) as (remote, target):
        triton.keep()
        async with load(remote) as found:
            for victim in ("server", "stub"):
                before = len(found)
                await eventually(lambda: len(found) > before + 100, 60)  # noqa: B023
                os.kill(getattr(triton, victim), signal.SIGKILL)
                await eventually(lambda: _is(target, down))
                await eventually(lambda: _is(target, up), 60)
            before = len(found)
            await eventually(lambda: len(found) > before + 50, 60)
        assert triton.restarts == 2
        log = triton.log.read_text()
    assert "tritonserver ended with code -9" in log
    assert "the model does not answer" in log
    expected = await embedded(tiny, [asked(n) for n in range(40)])
    for n, outcome in found.items():
        assert outcome.unwrap() == expected[asked(n % 40).id].unwrap(), n
    for first in range(12):
        mine = sorted(n for n in found if n % 12 == first)
        assert mine == list(range(first, first + 12 * len(mine), 12)), "no item of a caller is missing"


async def _is(target: str, status: int) -> bool:
    return await serving_status(target) == status


async def test_other_weights_are_stamped_from_their_first_answer_on(tiny: Path, other: Path, tmp_path: Path) -> None:
    async with launched(tiny, tmp_path) as triton, in_front_of(triton) as (remote, _):
        first = (await remote.versions()).checkpoint.digest
        async with load(remote) as found:
            await eventually(lambda: len(found) > 60, 60)
            triton.model = other
            triton.keep()
            os.kill(triton.server, signal.SIGKILL)
            await eventually(lambda: triton.restarts == 1)
            before = len(found)
            await eventually(lambda: len(found) > before + 60, 60)
        second = (await remote.versions()).checkpoint.digest
    items = [asked(n) for n in range(40)]
    expected = {first: await embedded(tiny, items), second: await embedded(other, items)}
    assert first != second
    stamped = set()
    for n, outcome in found.items():
        verdicts = outcome.unwrap()
        (version,) = {verdict.labeler_version for verdict in verdicts}
        stamped.add(version)
        assert verdicts == expected[version][asked(n % 40).id].unwrap()
    assert stamped == {first, second}


async def test_a_dead_model_is_noticed_though_triton_says_ready(tiny: Path, tmp_path: Path) -> None:
    """The launcher asks slowly here, so that the adapter meets the dead model before the launcher does."""
    async with launched(tiny, tmp_path, liveness_interval_s="8") as triton:
        labeler = TritonLabeler(triton.target, options=TritonOptions(patience_s=0))
        await labeler.check()
        server = triton.server
        os.kill(triton.stub, signal.SIGKILL)
        with pytest.raises(Unavailable, match="has died"):
            await labeler.check()
        with pytest.raises(Unavailable, match="has died"):
            (await collected(labeler.ask([asked(0)])))["item 0"].unwrap()
        assert await serving_status(triton.target) == health_pb2.HealthCheckResponse.SERVING
        assert await asyncio.wait_for(triton.ended(), 20) == 1
        await labeler.close()
    assert not running(server)


async def test_a_model_that_hangs_ends_the_server(tiny: Path, tmp_path: Path) -> None:
    async with launched(tiny, tmp_path, liveness_timeout_s="2") as triton:
        server, stub = triton.server, triton.stub
        os.kill(stub, signal.SIGSTOP)
        assert await asyncio.wait_for(triton.ended(), 20) == 1
    assert not running(server)
    assert not running(stub)


async def test_sigterm_answers_what_is_under_way_and_leaves_nothing(tiny: Path, tmp_path: Path) -> None:
    async with launched(tiny, tmp_path) as triton:
        labeler = TritonLabeler(triton.target, options=TritonOptions(patience_s=0))
        heavy = Questions(
            id="a", image=Image.of(picture()), questions=tuple(f"Is there a thing {n}?" for n in range(250))
        )
        asking = asyncio.create_task(collected(labeler.ask([heavy])))
        await eventually(lambda: labeler.activity().rows == 250)
        await asyncio.sleep(0.05)
        launcher, server = triton.launcher, triton.server
        assert await triton.stop() == 0
        assert len((await asking)["a"].unwrap()) == 250
        await labeler.close()
    assert not running(server)
    assert not [name for name in os.listdir("/dev/shm") if name.startswith(f"rlaifv_labeler_{launcher}_")]


async def test_nothing_outlives_a_launcher_that_was_killed(tiny: Path, tmp_path: Path) -> None:
    async with launched(tiny, tmp_path) as triton:
        server, stub = triton.server, triton.stub
        os.kill(triton.launcher, signal.SIGKILL)
        await triton.ended()
        await eventually(lambda: not running(server) and not running(stub))


async def test_a_model_that_does_not_load_ends_the_start_and_says_why(tmp_path: Path) -> None:
    triton = Launched(tmp_path / "nothing", tmp_path)
    process = await triton.spawn({})
    assert await asyncio.wait_for(process.wait(), 60) == 1
    assert "there is no such folder" in triton.log.read_text()
