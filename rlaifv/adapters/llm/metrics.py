"""Prometheus metrics of the LLM decomposer, listed in docs/metrics.md."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Histogram

from rlaifv.rpc.metrics import SECONDS


class LlmMetrics:
    """What is asked of the language model and how that goes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter("rlaifv_llm_requests", "Requests that ended", ["result"], registry=registry)
        self._seconds = Histogram(
            "rlaifv_llm_request_seconds", "Duration of a request", buckets=SECONDS, registry=registry
        )
        self._tokens = Counter("rlaifv_llm_tokens", "Tokens, as the endpoint counts them", ["kind"], registry=registry)
        self.repeats = Counter("rlaifv_llm_repeats", "Windows asked about once more", ["reason"], registry=registry)
        self.halved = Counter(
            "rlaifv_llm_halved_windows", "Windows that did not fit and were halved", registry=registry
        )
        self.fallbacks = Counter("rlaifv_llm_fallbacks", "Answers left to the grammar", ["error"], registry=registry)
        self.windows = Counter("rlaifv_llm_windows", "Windows read", ["source"], registry=registry)

    def request(self, result: str) -> None:
        """A request ended so."""
        self._requests.labels(result).inc()

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Times one request, however it ends."""
        begin = perf_counter()
        try:
            yield
        finally:
            self._seconds.observe(perf_counter() - begin)

    def used(self, prompt_tokens: int, completion_tokens: int) -> None:
        """What the endpoint says a request cost."""
        self._tokens.labels("prompt").inc(prompt_tokens)
        self._tokens.labels("completion").inc(completion_tokens)
