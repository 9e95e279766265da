"""Has a language model divide one window, asks again where its reply breaks a rule, and halves what does not fit."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

import structlog

from rlaifv.adapters.llm.drafts import Draft
from rlaifv.adapters.llm.endpoint import Endpoint
from rlaifv.adapters.llm.failures import NoRoom
from rlaifv.adapters.llm.merging import merged
from rlaifv.adapters.llm.metrics import LlmMetrics
from rlaifv.adapters.llm.prompts import ask, ask_again, ask_anew
from rlaifv.adapters.llm.replies import MalformedReply, Reply, parse
from rlaifv.adapters.llm.windows import Window
from rlaifv.core.decomposition import Decomposition
from rlaifv.core.errors import BackendFailed

log = structlog.stdlib.get_logger(__name__)

T = TypeVar("T")


class WindowReader:
    """Reads windows through `endpoint`; asks each again `repeats` times at most, for each of the two reasons to."""

    def __init__(self, endpoint: Endpoint, metrics: LlmMetrics, *, overlap_chars: int, repeats: int) -> None:
        self._endpoint = endpoint
        self._metrics = metrics
        self._overlap_chars = overlap_chars
        self._repeats = repeats

    async def read(self, question: str, window: Window) -> Decomposition:
        """The division of what the window owns, places relative to its text. `question` is what the answer was given to.

        Raises BackendFailed where the model gives no usable reply, and what the endpoint raises.
        """
        # "3" says something where a number was asked for; between sentences it numbers a list.
        bare_digits = bool(question.strip()) and not any(character.isalpha() for character in window.text)
        draft = Draft(window, bare_digits=bare_digits)
        if not draft.has_content:
            return draft.finish()
        try:
            draft.take(await self._first(question, window))
        except NoRoom as exc:
            return await self._halved(question, window, exc)
        await self._mend(question, window, draft)
        return draft.finish()

    async def _first(self, question: str, window: Window) -> Reply:
        """The first reply that can be read."""
        before, text = _parts(window)
        messages = ask(question, before, text)
        for left in reversed(range(self._repeats + 1)):
            try:
                return parse(await self._endpoint.ask(messages))
            except MalformedReply as exc:
                if not left:
                    raise BackendFailed(f"the LLM did not divide the answer: {exc}") from exc
                self._metrics.repeats.labels("malformed").inc()
                messages = ask_anew(question, before, text, str(exc))
        raise AssertionError("the loop returns or raises")

    async def _mend(self, question: str, window: Window, draft: Draft) -> None:
        """Ask again about what broke a rule; what breaks one still is left out, and stays counted in the draft."""
        before, text = _parts(window)
        for _ in range(self._repeats):
            faults = draft.faults()
            if not faults:
                return
            self._metrics.repeats.labels("faulty").inc()
            try:
                draft.take(parse(await self._endpoint.ask(ask_again(question, before, text, faults))))
            except (MalformedReply, NoRoom) as exc:
                log.info("a second reply could not be used", reason=str(exc))
                return

    async def _halved(self, question: str, window: Window, cause: NoRoom) -> Decomposition:
        if len(window.pieces) == 1:
            size = len(window.text) - window.own
            raise BackendFailed(
                f"a sentence of {size} characters does not fit: {cause}; llm_max_output_tokens must leave room for both"
            ) from cause
        self._metrics.halved.inc()
        halves = window.halves(self._overlap_chars)
        found = await together(self.read(question, half) for half in halves)
        return merged((half.offset - window.offset, part) for half, part in zip(halves, found, strict=True))


def _parts(window: Window) -> tuple[str, str]:
    return window.text[: window.own], window.text[window.own :]


async def together(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """All results, in order; the first error ends the rest and is raised as it is."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
