"""The labeler service in front of a scripted Triton: which version it names, when it serves, what it counts."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry

from rlaifv.adapters.remote.labeler import AnswerToScore, RemoteLabeler
from rlaifv.core.errors import InvalidInput
from rlaifv.ports.services import Questions
from rlaifv.rpc.channel import open_channel
from rlaifv.rpc.entry import load_settings
from rlaifv.rpc.server import ServiceServer
from services.labeler import __main__ as wiring
from services.labeler.settings import LabelerSettings
from tests.serving import collected, eventually, picture, serving
from tests.unit.triton.scripted import Asked, Failure, scripted

UP = health_pb2.HealthCheckResponse.SERVING


@dataclass
class Weights:
    """Answers as `version`; "" is a model that has died."""

    version: str = "1" * 64

    async def __call__(self, _: Asked) -> str:
        if not self.version:
            raise Failure(grpc.StatusCode.INTERNAL, "Stub process 'labeler_0_0' is not healthy.")
        return self.version


def in_front_of(target: str) -> LabelerSettings:
    return LabelerSettings(
        backend="triton", triton_target=target, triton_patience_s=0, decomposer="fake", health_interval_s=0.05
    )


async def is_serving(target: str) -> bool:
    async with open_channel(target) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=2)
        return bool(answer.status == UP)


def test_triton_needs_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLAIFV_LABELER_BACKEND", "triton")
    with pytest.raises(InvalidInput, match="RLAIFV_LABELER_TRITON_TARGET is empty"):
        load_settings(LabelerSettings)


async def test_the_version_named_and_stamped_is_the_one_that_answers() -> None:
    weights = Weights()
    async with scripted(weights) as triton, serving(in_front_of(triton.target)) as server:
        remote = RemoteLabeler(server.target)
        for version in ("1" * 64, "2" * 64):
            weights.version = version
            item = Questions(id="a", image=picture(), questions=("Is it red?",))
            assert (await collected(remote.ask([item])))["a"].unwrap()[0].labeler_version == version
            assert (await remote.versions()).checkpoint.digest == version
            nothing = AnswerToScore(id="b", image=picture(), answer="Hello!")
            assert (await collected(remote.score([nothing])))["b"].unwrap().labeler_version == version
        await remote.close()


async def test_it_serves_when_triton_does_and_comes_back_with_it() -> None:
    weights = Weights()
    async with scripted(weights) as triton, serving(in_front_of(triton.target)) as server:
        assert await is_serving(server.target)
        weights.version = ""
        await eventually(lambda: _not(is_serving(server.target)))
        weights.version = "3" * 64
        await eventually(lambda: is_serving(server.target))


async def _not(condition: object) -> bool:
    return not await condition  # type: ignore[misc]


async def test_it_waits_for_a_triton_that_is_not_there_yet() -> None:
    weights = Weights(version="")
    async with scripted(weights) as triton:
        registry = CollectorRegistry()
        settings = in_front_of(triton.target)
        server = ServiceServer(settings, wiring.SERVICE, registry)
        await server.start()
        loading = asyncio.create_task(wiring.load(settings, server, registry))
        await asyncio.sleep(0.3)
        assert not loading.done()
        assert not await is_serving(server.target)
        weights.version = "4" * 64
        await server.open(await loading)
        assert await is_serving(server.target)
        assert registry.get_sample_value("rlaifv_model_info", {"version": "4" * 64}) == 1
        assert registry.get_sample_value("rlaifv_queue_depth") == 0
        await server.stop()
