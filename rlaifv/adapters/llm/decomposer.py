"""The Decomposer port over a language model behind an OpenAI-compatible endpoint.

    answer ─▶ windows ─▶ known already? ─▶ LLM ─▶ rules hold? ─▶ merged, places in the answer
                              ▲                │ no: asked again, then left out and counted
                              └── several who ask the same are answered together

| what is full or away          | what happens                                                            |
|-------------------------------|-------------------------------------------------------------------------|
| `max_queue` answers at work   | Overloaded at once                                                      |
| `max_in_flight` requests      | further requests wait here                                              |
| endpoint away, 5xx, 429       | asked again within `patience_s`; then Unavailable, Overloaded           |
| reply cut off, text too long  | the window is halved; a sentence that does not fit alone: BackendFailed |
| no usable reply               | asked again `repeats` times; then BackendFailed                         |
| any of these, with a fallback | the fallback divides the answer, and stamps its own version             |
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from typing import Self

import structlog

from rlaifv.adapters.each_outcome import each_outcome
from rlaifv.adapters.llm.endpoint import Endpoint
from rlaifv.adapters.llm.memory import Memory
from rlaifv.adapters.llm.merging import merged
from rlaifv.adapters.llm.metrics import LlmMetrics
from rlaifv.adapters.llm.options import LlmOptions
from rlaifv.adapters.llm.reading import WindowReader, together
from rlaifv.adapters.llm.windows import Window, windows
from rlaifv.core.decomposition import Decomposition
from rlaifv.core.errors import Overloaded, RlaifvError, Unavailable
from rlaifv.core.outcomes import Outcome
from rlaifv.ports.services import Answer, Decomposer
from rlaifv.rpc.metrics import Activity
from rlaifv.rpc.streams import only

log = structlog.stdlib.get_logger(__name__)


class LlmDecomposer:
    """Divides answers with a language model. Make and use it in one event loop; `open` also looks whether the model is there."""

    def __init__(self, options: LlmOptions, metrics: LlmMetrics, fallback: Decomposer | None = None) -> None:
        """`fallback` divides the answers that the model fails on; without one they fail with the reason."""
        self._options = options
        self._metrics = metrics
        self._fallback = fallback
        self._endpoint = Endpoint(options.endpoint, metrics)
        self._reader = WindowReader(
            self._endpoint, metrics, overlap_chars=options.overlap_chars, repeats=options.repeats
        )
        self._memory = Memory(
            max_entries=options.cache_entries,
            max_bytes=options.cache_bytes,
            count=lambda source: metrics.windows.labels(source).inc(),
        )
        self._at_work = 0
        self._closed = False

    @classmethod
    async def open(
        cls, options: LlmOptions, metrics: LlmMetrics, fallback: Decomposer | None = None, *, startup_s: float = 600.0
    ) -> Self:
        """One whose endpoint serves the model: waited for up to `startup_s`. Raises Unavailable, NotFound or InvalidInput."""
        decomposer = cls(options, metrics, fallback)
        try:
            await decomposer._endpoint.start(startup_s)
        except BaseException:
            await decomposer.close()
            raise
        return decomposer

    def decompose(self, answers: Sequence[Answer]) -> AsyncIterator[Outcome[Decomposition]]:
        """See ports.services.Decomposer."""
        return each_outcome(answers, self._outcome)

    async def version(self) -> str:
        """Of what the model divides; what the fallback divides is stamped with the fallback's."""
        return self._options.version

    def activity(self) -> Activity:
        """For metrics: requests that wait, requests on the way, requests that ended."""
        now = self._endpoint.activity()
        return Activity(waiting=now.waiting, rows=now.in_flight, batches=now.done)

    async def check(self) -> None:
        """Raises Unavailable while nobody here can divide: with a fallback somebody always can."""
        if self._fallback is None:
            await self._endpoint.check()

    async def close(self) -> None:
        """Forget what is at work and close the connections; does not close the fallback."""
        self._closed = True
        await self._memory.close()
        await self._endpoint.close()

    async def _outcome(self, answer: Answer) -> Outcome[Decomposition]:
        try:
            return Outcome(item_id=answer.id, value=await self._admitted(answer))
        except RlaifvError as error:
            return Outcome(item_id=answer.id, error=error)

    async def _admitted(self, answer: Answer) -> Decomposition:
        if self._closed:
            raise Unavailable("the decomposer is being closed; retry")
        if self._at_work >= self._options.max_queue:
            raise Overloaded(f"{self._at_work} answers are at work already; retry after a pause")
        self._at_work += 1
        try:
            return await self._divided(answer)
        finally:
            self._at_work -= 1

    async def _divided(self, answer: Answer) -> Decomposition:
        try:
            return await self._by_model(answer)
        except RlaifvError as error:
            if self._fallback is None or self._closed:
                raise
            self._metrics.fallbacks.labels(type(error).__name__).inc()
            log.warning("the LLM failed on an answer, the fallback divides it", error=error.message)
            return await only(self._fallback.decompose([answer]))

    async def _by_model(self, answer: Answer) -> Decomposition:
        options = self._options
        # A megabyte takes a second or two, in which others want to be answered.
        cut = await asyncio.to_thread(
            windows, answer.text, window_chars=options.window_chars, overlap_chars=options.overlap_chars
        )
        found = await together(self._remembered(answer.prompt, window) for window in cut)
        parts = ((window.offset, part) for window, part in zip(cut, found, strict=True))
        return merged(parts, options.version)

    async def _remembered(self, question: str, window: Window) -> Decomposition:
        return await self._memory.get(_key(question, window), lambda: self._reader.read(question, window))


def _key(question: str, window: Window) -> bytes:
    """Of all that the division depends on beside the version, which is one for the life of a decomposer."""
    digest = hashlib.sha256(repr(window.pieces).encode())
    for part in (question, window.text):
        raw = part.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(8, "big") + raw)
    return digest.digest()
