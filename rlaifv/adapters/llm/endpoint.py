"""An OpenAI-compatible chat endpoint: so many requests at once, repeated while it is away or busy, failures as our errors."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

import openai
import structlog

from rlaifv.adapters.llm.failures import Failure, NoRoom, failure, out_of_time
from rlaifv.adapters.llm.metrics import LlmMetrics
from rlaifv.adapters.llm.options import EndpointOptions
from rlaifv.adapters.llm.prompts import schema
from rlaifv.core.errors import BackendFailed, InvalidInput, NotFound, Overloaded, RlaifvError, Unavailable

log = structlog.stdlib.get_logger(__name__)

_FIRST_PAUSE_S: Final = 0.25
_LONGEST_PAUSE_S: Final = 10.0
_CONNECT_S: Final = 10.0
_CHECK_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """Requests that wait for their turn, requests on the way, and how many have ended."""

    waiting: int
    in_flight: int
    done: int


class Endpoint:
    """The model `options.model` behind `options.url`. Make it and use it in one event loop; `close` it."""

    def __init__(self, options: EndpointOptions, metrics: LlmMetrics) -> None:
        self._options = options
        self._metrics = metrics
        self._where = f"the LLM endpoint at {options.url}"
        self._places = asyncio.Semaphore(options.max_in_flight)
        self._waiting = self._in_flight = self._done = 0
        self._trouble_since: float | None = None
        self._client = openai.AsyncOpenAI(
            base_url=options.url,
            api_key=options.api_key or "none",
            timeout=openai.Timeout(options.timeout_s, connect=min(_CONNECT_S, options.timeout_s)),
            max_retries=0,  # ours know when to stop, and count
        )
        # The client fills these from the environment: they name an account elsewhere, which is not this endpoint's business.
        self._client.organization = self._client.project = None

    async def start(self, patience_s: float) -> None:
        """Wait until the endpoint serves the model, at most `patience_s`; raises NotFound at once if it serves others only."""
        until = monotonic() + patience_s
        while True:
            try:
                return await self._find_model()
            except (Unavailable, Overloaded) as error:
                if monotonic() >= until:
                    raise
                log.info("waiting for the LLM endpoint", error=error.message)
                await asyncio.sleep(min(1.0, max(0.0, until - monotonic())))

    async def check(self) -> None:
        """Raises Unavailable while the endpoint is away, NotFound where it does not serve the model. Costs no tokens."""
        with contextlib.suppress(Overloaded):  # whoever says so is there
            await self._find_model()

    async def _find_model(self) -> None:
        """Raises NotFound where the model is not there, InvalidInput where it cannot hold the replies asked for."""
        try:
            async with asyncio.timeout(_CHECK_S):
                raw = await self._client.models.with_raw_response.list()
        except TimeoutError as exc:
            raise Unavailable(f"{self._where} did not list its models within {_CHECK_S:g} s") from exc
        except openai.OpenAIError as exc:
            raise failure(exc, self._where, self._options.timeout_s).error from exc
        served = _models(raw.text)
        if self._options.model not in served:
            listed = ", ".join(map(repr, served)) or "no model"
            raise NotFound(f"llm_model = {self._options.model!r}: {self._where} serves {listed}; choose one of those")
        # vLLM says how much its models hold; others leave it out.
        holds, wanted = served[self._options.model].get("max_model_len"), self._options.max_output_tokens
        if isinstance(holds, int) and holds <= wanted:
            raise InvalidInput.field(
                "llm_max_output_tokens", wanted, f"the model holds {holds} tokens, text and reply together"
            )

    async def ask(self, messages: list[dict[str, str]]) -> str:
        """What the model replies. Raises NoRoom where text or reply is too long, and our errors for everything else."""
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1
        self._in_flight += 1
        try:
            return await self._patiently(messages)
        finally:
            self._in_flight -= 1
            self._done += 1
            self._places.release()

    def activity(self) -> Activity:
        """For metrics."""
        return Activity(waiting=self._waiting, in_flight=self._in_flight, done=self._done)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _patiently(self, messages: list[dict[str, str]]) -> str:
        begin, pause_s = monotonic(), _FIRST_PAUSE_S
        while True:
            outcome = await self._once(messages)
            if not isinstance(outcome, Failure):
                self._trouble_since = None
                return outcome
            if not outcome.again:
                raise outcome.error
            if self._trouble_since is None:
                self._trouble_since = monotonic()
            # Patience is spent by all together: whoever comes late to an endpoint that is long away asks once.
            until = min(begin, self._trouble_since) + self._options.patience_s
            # Jitter, so that requests that failed together do not all come back together.
            wait_s = max(outcome.pause_s, pause_s * random.uniform(0.5, 1.0))
            if monotonic() + wait_s > until:
                raise outcome.error
            await asyncio.sleep(wait_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _once(self, messages: list[dict[str, str]]) -> str | Failure:
        try:
            with self._metrics.timed():
                async with asyncio.timeout(self._options.timeout_s):
                    raw = await self._client.chat.completions.with_raw_response.create(**self._request(messages))
            content = self._content(raw.text)
        except NoRoom:
            self._metrics.request("no_room")
            raise
        except RlaifvError as error:
            outcome = Failure(error=error, result="no_completion")
        except TimeoutError:
            outcome = out_of_time(self._where, self._options.timeout_s)
        except openai.OpenAIError as exc:
            outcome = failure(exc, self._where, self._options.timeout_s)
        else:
            self._metrics.request("ok")
            return content
        self._metrics.request(outcome.result)
        if outcome.no_room:
            raise NoRoom(outcome.error.message)
        return outcome

    def _request(self, messages: list[dict[str, str]]) -> dict[str, Any]:
        options = self._options
        request: dict[str, Any] = {
            "model": options.model,
            "messages": messages,
            "temperature": options.temperature,
            "seed": options.seed,
            "max_tokens": options.max_output_tokens,
            "extra_body": options.extra_body or None,
        }
        if options.guided == "json_schema":
            form = {"name": "claims", "strict": True, "schema": schema()}
            request["response_format"] = {"type": "json_schema", "json_schema": form}
        elif options.guided == "json_object":
            request["response_format"] = {"type": "json_object"}
        return request

    def _content(self, body: str) -> str:
        """What the model wrote; raises NoRoom where it was cut off, BackendFailed where this is no chat completion."""
        try:
            completion = json.loads(body)
            choice = completion["choices"][0]
            content = choice["message"]["content"] or ""
            finish = choice.get("finish_reason")
            if not isinstance(content, str):
                raise TypeError("content is no text")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as exc:
            raise BackendFailed(f"{self._where} answered, but not with a chat completion: is llm_url right?") from exc
        usage = completion.get("usage") or {}
        self._metrics.used(*(_count(usage, name) for name in ("prompt_tokens", "completion_tokens")))
        if finish == "length":
            raise NoRoom(f"the reply was longer than llm_max_output_tokens = {self._options.max_output_tokens}")
        if finish == "content_filter":
            raise BackendFailed(f"{self._where} withheld its reply by a content filter")
        return content


def _count(usage: Any, name: str) -> int:
    value = usage.get(name) if isinstance(usage, dict) else 0
    return value if isinstance(value, int) and value > 0 else 0


def _models(body: str) -> dict[str, dict[str, Any]]:
    """What GET /models lists, by name."""
    try:
        return {str(model["id"]): model for model in json.loads(body)["data"]}
    except (ValueError, LookupError, TypeError):
        return {}
