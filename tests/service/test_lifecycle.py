"""From start to SIGTERM: ports, health, reflection, metrics, drain, and settings that are wrong."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client import CollectorRegistry

from rlaifv.api.v1 import policy_pb2
from rlaifv.api.v1.labeler_pb2_grpc import LabelerServiceStub
from rlaifv.api.v1.policy_pb2_grpc import PolicyServiceStub
from rlaifv.core.errors import BackendFailed
from rlaifv.ports.services import Questions
from rlaifv.rpc.channel import open_channel
from rlaifv.rpc.convert.verdicts import questions_to_proto
from rlaifv.rpc.entry import run_service
from rlaifv.rpc.errors import RETRY_AFTER_KEY
from rlaifv.rpc.server import Ready, ServiceServer
from services.labeler.settings import LabelerSettings
from services.policy.settings import PolicySettings
from tests.service.processes import process
from tests.serving import eventually, picture, serving

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


async def reports(channel: grpc.aio.Channel, status: int) -> bool:
    return await health(channel) == await health(channel, "rlaifv.api.v1.LabelerService") == status


async def health(channel: grpc.aio.Channel, service: str = "") -> int:
    return (await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service))).status


async def test_sigterm_lets_calls_in_flight_end_and_refuses_new_ones(tmp_path: Path) -> None:
    settings = {
        "backend": "fake",
        "decomposer": "fake",
        "fake_latency_ms": "1500",
        "ports_file": str(tmp_path / "ports"),
    }
    async with process(**settings) as labeler:
        await eventually((tmp_path / "ports").exists)
        found = json.loads((tmp_path / "ports").read_text())
        assert found["pid"] == labeler.pid
        async with open_channel(f"127.0.0.1:{found['grpc']}") as channel:
            await eventually(lambda: reports(channel, SERVING))
            item = Questions(id="a", image=picture(), questions=("Is it red?",))
            call = LabelerServiceStub(channel).AskQuestions()
            await call.write(questions_to_proto(item))
            await asyncio.sleep(0.3)
            labeler.send_signal(signal.SIGTERM)
            await eventually(lambda: reports(channel, NOT_SERVING))
            late = LabelerServiceStub(channel).AskQuestions()
            with pytest.raises(grpc.aio.AioRpcError, match="shutting down") as caught:
                await late.read()
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            assert (await call.read()).status.code == 0  # type: ignore[union-attr]
            await call.done_writing()
        assert await asyncio.wait_for(labeler.wait(), 10) == 0
        lines = (await labeler.stderr.read()).decode().splitlines()  # type: ignore[union-attr]
    events = [json.loads(line) for line in lines]
    assert [event["event"] for event in events] == ["loading", "serving", "draining", "stopped"]
    assert all(event["service"] == "labeler" for event in events)


async def test_a_process_that_cannot_load_its_model_says_why() -> None:
    async with process(backend="fake", model="/no/such/model") as labeler:
        _, errors = await asyncio.wait_for(labeler.communicate(), 30)
    assert labeler.returncode == 1
    assert "there is no such folder" in errors.decode()
    assert "Traceback" not in errors.decode()


async def never(settings: LabelerSettings) -> None:
    raise AssertionError("served although it was only asked to check")


def test_settings_are_checked_without_starting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RLAIFV_LABELER_MAX_QUEUE", "7")
    assert run_service("labeler", LabelerSettings, never, ["--check-config"]) == 0
    assert run_service("labeler", LabelerSettings, never, ["--print-settings"]) == 0
    assert json.loads(capsys.readouterr().out)["max_queue"] == 7
    monkeypatch.setenv("RLAIFV_LABELER_BAKEND", "fake")
    assert run_service("labeler", LabelerSettings, never, []) == 2
    assert "did you mean RLAIFV_LABELER_BACKEND?" in capsys.readouterr().err


async def test_reflection_lists_the_service_with_health() -> None:
    async with serving(PolicySettings(backend="fake")) as server, open_channel(server.target) as channel:
        call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
            iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        )
        names = {service.name for service in (await call.read()).list_services_response.service}
        assert {"rlaifv.api.v1.PolicyService", "grpc.health.v1.Health"} <= names
        assert await health(channel) == await health(channel, "rlaifv.api.v1.PolicyService") == SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health(channel, "rlaifv.api.v1.NoService")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_while_the_model_loads_probes_are_answered_and_calls_told_to_come_again() -> None:
    server = ServiceServer(PolicySettings(backend="fake"), "rlaifv.api.v1.PolicyService", CollectorRegistry())
    await server.start()
    try:
        async with open_channel(server.target) as channel:
            assert await health(channel) == NOT_SERVING
            with pytest.raises(grpc.aio.AioRpcError, match="loading its model") as caught:
                await PolicyServiceStub(channel).GetPolicy(policy_pb2.GetPolicyRequest())
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            assert RETRY_AFTER_KEY in dict(caught.value.trailing_metadata())
            await server.open(Ready(register=lambda _: None))
            assert await health(channel) == SERVING
    finally:
        await server.stop()


async def test_a_port_that_is_taken_is_refused() -> None:
    async with serving(PolicySettings(backend="fake")) as server:
        settings = PolicySettings(backend="fake", port=server.port)
        with pytest.raises(BackendFailed, match=str(server.port)):
            async with serving(settings):
                pass


async def test_metrics_tell_what_was_done() -> None:
    settings = LabelerSettings(backend="fake", decomposer="fake")
    async with serving(settings) as server, open_channel(server.target) as channel:
        good = questions_to_proto(Questions(id="a", image=picture(), questions=("Is it red?", "Is it blue?")))
        bad: Any = type(good)(item_id="b")
        call = LabelerServiceStub(channel).AskQuestions(iter([good, bad]))
        answers = {answer.item_id: answer async for answer in call}
        version = answers["a"].verdicts[0].labeler_version
        scraped = await asyncio.to_thread(scrape, f"http://127.0.0.1:{server.metrics_port}/metrics")
    for line in (
        'rlaifv_items_total{code="OK",method="AskQuestions"} 1.0',
        'rlaifv_items_total{code="INVALID_ARGUMENT",method="AskQuestions"} 1.0',
        'rlaifv_calls_total{code="OK",method="AskQuestions"} 1.0',
        'rlaifv_item_seconds_count{method="AskQuestions"} 2.0',
        f'rlaifv_model_info{{version="{version}"}} 1.0',
        "rlaifv_verdicts_total 2.0",
        "rlaifv_queue_depth 0.0",
        "rlaifv_batches_total 1.0",
        "rlaifv_ready 1.0",
    ):
        assert line in scraped


def scrape(address: str) -> list[str]:
    with urlopen(address) as response:
        return response.read().decode().splitlines()  # type: ignore[no-any-return]
