"""The decomposer service on an LLM: the contract of every decomposer, health that follows the endpoint's, settings, metrics."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry

from rlaifv.adapters.llm import EndpointOptions, LlmDecomposer, LlmMetrics, LlmOptions
from rlaifv.adapters.remote.decomposer import RemoteDecomposer
from rlaifv.core.decomposition import LeftOutClaims, LeftOutReason, SkipReason
from rlaifv.core.errors import BackendFailed, InvalidInput, NotFound, Unavailable
from rlaifv.ports.services import Answer, Decomposer
from rlaifv.rpc.channel import open_channel
from rlaifv.rpc.entry import load_settings, run_service
from rlaifv.rpc.server import ServiceServer
from services.decomposer import __main__ as decomposer_service
from services.decomposer.settings import DecomposerSettings
from tests.contract.test_decomposer import (  # noqa: F401 - collected here with this file's `decomposer`
    test_an_answer_is_divided_the_same_among_others,
    test_an_answer_without_anything_to_check_has_no_claim,
    test_claims_point_into_the_answer,
    test_long_and_foreign_answers_are_taken_whole,
)
from tests.serving import collected, eventually, serving
from tests.unit.llm.scripted_server import ChatServer, Said, by_sentence, chat_server, claim, reply

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture(params=["llm", "remote llm"])
async def decomposer(request: pytest.FixtureRequest) -> AsyncIterator[Decomposer]:
    async with AsyncExitStack() as stack:
        chat = await stack.enter_async_context(chat_server(by_sentence))
        if request.param == "llm":
            options = LlmOptions(endpoint=EndpointOptions(url=chat.url, model="small"))
            local = await LlmDecomposer.open(options, LlmMetrics(CollectorRegistry()))
            stack.push_async_callback(local.close)
            yield local
        else:
            server = await stack.enter_async_context(serving(settings(chat)))
            remote = RemoteDecomposer(server.target, patience_s=5)
            stack.push_async_callback(remote.close)
            yield remote


def settings(chat: ChatServer, **others: Any) -> DecomposerSettings:
    given = {"llm_url": chat.url, "llm_model": "small", "llm_patience_s": 0, "health_interval_s": 0.05, **others}
    return DecomposerSettings(backend="llm", **given)


@asynccontextmanager
async def remote(server: ServiceServer) -> AsyncIterator[RemoteDecomposer]:
    client = RemoteDecomposer(server.target, patience_s=0)
    try:
        yield client
    finally:
        await client.close()


async def health(server: ServiceServer) -> int:
    async with open_channel(server.target) as channel:
        return (await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())).status


async def scraped(server: ServiceServer) -> str:
    def read() -> str:
        with urlopen(f"http://127.0.0.1:{server.metrics_port}/metrics") as response:
            return str(response.read().decode())

    return await asyncio.to_thread(read)


async def test_what_was_left_out_and_passed_over_comes_through_to_the_caller_and_the_metrics() -> None:
    async with (
        chat_server(lambda task: reply([claim("A dog"), claim("a horse")])) as chat,
        serving(settings(chat)) as server,
        remote(server) as client,
    ):
        (found,) = (await collected(client.decompose([Answer(id="a", text="A dog. A cat.", prompt="What?")]))).values()
        divided = found.unwrap()
        metrics = await scraped(server)
    assert [c.text for c in divided.claims] == ["There is A dog."]
    assert divided.left_out == (LeftOutClaims(reason=LeftOutReason.QUOTE_NOT_FOUND, count=1),)
    assert [s.reason for s in divided.skipped] == [SkipReason.UNREAD]
    assert divided.version.startswith("llm/")
    assert chat.tasks[0].question == "What?"
    assert 'rlaifv_left_out_claims_total{reason="quote_not_found"} 1.0' in metrics
    assert 'rlaifv_llm_requests_total{result="ok"} 2.0' in metrics
    assert f'rlaifv_model_info{{version="{divided.version}"}} 1.0' in metrics


async def test_health_follows_the_endpoint_and_nothing_is_lost_over_its_restart() -> None:
    async with chat_server(by_sentence) as chat, serving(settings(chat)) as server:
        assert await health(server) == SERVING
        await chat.stop()
        await eventually(lambda: _reports(server, NOT_SERVING))
        client = RemoteDecomposer(server.target, patience_s=30)
        answers = [Answer(id=str(n), text=f"There is item {n}.") for n in range(20)]
        waiting = asyncio.create_task(collected(client.decompose(answers)))
        await asyncio.sleep(0.5)
        assert not waiting.done()
        await chat.start()
        found = await waiting
        assert [found[str(n)].unwrap().claims[0].text for n in range(20)] == [answer.text for answer in answers]
        await eventually(lambda: _reports(server, SERVING))
        await client.close()


async def _reports(server: ServiceServer, status: int) -> bool:
    return await health(server) == status


async def test_a_failure_names_its_reason_to_the_caller() -> None:
    async with (
        chat_server(lambda task: Said(content="I will not.")) as chat,
        serving(settings(chat)) as server,
        remote(server) as client,
    ):
        (found,) = (await collected(client.decompose([Answer(id="a", text="A dog.")]))).values()
    assert isinstance(found.error, BackendFailed)
    assert "no JSON object" in found.error.message


async def test_with_the_grammar_behind_it_the_service_answers_while_the_endpoint_is_away() -> None:
    async with (
        chat_server(by_sentence) as chat,
        serving(settings(chat, llm_on_failure="grammar")) as server,
        remote(server) as client,
    ):
        await chat.stop()
        (found,) = (await collected(client.decompose([Answer(id="a", text="There is a red car.")]))).values()
        assert found.unwrap().version.startswith("grammar/")
        await asyncio.sleep(0.2)
        assert await health(server) == SERVING
        assert 'rlaifv_llm_fallbacks_total{error="Unavailable"} 1.0' in await scraped(server)


async def test_a_model_that_is_not_served_ends_the_start() -> None:
    async with chat_server(by_sentence, models=("large",)) as chat:
        with pytest.raises(NotFound, match="serves 'large'"):
            async with serving(settings(chat)):
                pass
        await chat.stop()
        with pytest.raises(Unavailable, match="is it running"):
            async with serving(settings(chat, llm_startup_s=0)):
                pass


async def test_the_key_is_read_from_its_file_and_shown_nowhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "key"
    file.write_text("sk-1234\n")
    async with chat_server(by_sentence) as chat:
        chosen = settings(chat, llm_api_key_file=file)
        async with serving(chosen):
            assert chat.authorisations == ["Bearer sk-1234"]
        assert "sk-1234" not in chosen.model_dump_json() + capsys.readouterr().out
        for content in ("", "two keys", "schlüssel"):
            file.write_text(content)
            with pytest.raises(InvalidInput, match="llm_api_key_file"):
                async with serving(chosen):
                    pass
        file.unlink()
        with pytest.raises(InvalidInput, match="llm_api_key_file"):
            async with serving(chosen):
                pass


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"llm_model": "m"}, "RLAIFV_DECOMPOSER_LLM_URL is empty"),
        ({"llm_url": "http://a/v1"}, "RLAIFV_DECOMPOSER_LLM_MODEL is empty"),
        ({"llm_url": "a:8000", "llm_model": "m"}, "LLM_URL"),
        ({"llm_url": "http://a/v1", "llm_model": "m", "llm_extra_body": "[1]"}, "must be a JSON object"),
        ({"llm_url": "http://a/v1", "llm_model": "m", "llm_extra_body": "{"}, "must be a JSON object"),
        ({"llm_url": "http://a/v1", "llm_model": "m", "llm_guided": "maybe"}, "json_schema"),
    ],
)
def test_wrong_settings_are_named(values: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLAIFV_DECOMPOSER_BACKEND", "llm")
    for name, value in values.items():
        monkeypatch.setenv(f"RLAIFV_DECOMPOSER_{name.upper()}", value)
    with pytest.raises(InvalidInput) as caught:
        load_settings(DecomposerSettings)
    assert words in caught.value.message
    assert run_service("decomposer", DecomposerSettings, decomposer_service.serve, ["--check-config"]) == 2


def test_the_settings_are_given_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLAIFV_DECOMPOSER_LLM_EXTRA_BODY", '{"chat_template_kwargs": {"enable_thinking": false}}')
    assert load_settings(DecomposerSettings).extra_body == {"chat_template_kwargs": {"enable_thinking": False}}
