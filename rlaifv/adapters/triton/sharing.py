"""Questions on their way, by picture: one that is asked while it is under way is not sent again.

Ten answers to one prompt make many of the same claims, and whole items are asked again by impatient callers. Whoever asks joins
the requests that hold its questions and sends the others. A request lives as long as somebody waits for it. An error belongs to
the caller who sent the request: those who only joined ask again on their own, for the fault may lie in a question beside theirs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from rlaifv.adapters.triton.calls import ModelAnswer
from rlaifv.adapters.triton.pictures import Picture
from rlaifv.core.errors import InvalidInput, TooLarge, Unavailable

Send = Callable[[Picture, tuple[bytes, ...]], Coroutine[Any, Any, ModelAnswer]]

_LENGTH_BYTES: Final = 4
"""Triton puts the length before every text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probabilities:
    """The answer to one question, and the digest of the weights that gave it."""

    p_yes: float
    p_no: float
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """Of one request to Triton: bytes of picture and questions together, and questions."""

    max_bytes: int
    max_questions: int


@dataclass(slots=True, eq=False)
class _Flight:
    keys: tuple[tuple[str, str], ...]
    questions: tuple[str, ...]
    task: asyncio.Task[ModelAnswer]
    waiters: int = 0


class QuestionFlights:
    """Sends questions in requests within `limits`. Use it in one event loop."""

    def __init__(self, send: Send, limits: RequestLimits) -> None:
        self._send = send
        self._limits = limits
        self._flights: dict[tuple[str, str], _Flight] = {}

    def __len__(self) -> int:
        """Questions under way."""
        return len(self._flights)

    async def ask(self, picture: Picture, questions: Iterable[str]) -> dict[str, Probabilities]:
        """The answer to each distinct question. Raises what `send` raises, and errors as `requests_of`."""
        wanted = tuple(dict.fromkeys(questions))
        under_way = {q: self._flights[picture.sha256, q] for q in wanted if (picture.sha256, q) in self._flights}
        own = self._start(picture, [question for question in wanted if question not in under_way])
        found = await self._landed([*dict.fromkeys(under_way.values()), *own], own)
        missing = [question for question in wanted if question not in found]
        if missing:
            own = self._start(picture, missing)
            found |= await self._landed(own, own)
        return {question: found[question] for question in wanted}

    def _start(self, picture: Picture, questions: Sequence[str]) -> list[_Flight]:
        flights = []
        for part in requests_of(picture, questions, self._limits):
            task = asyncio.create_task(self._send(picture, tuple(question.encode() for question in part)))
            flight = _Flight(keys=tuple((picture.sha256, question) for question in part), questions=part, task=task)
            self._flights |= dict.fromkeys(flight.keys, flight)
            task.add_done_callback(partial(self._forget, flight))
            flights.append(flight)
        return flights

    async def _landed(self, flights: Sequence[_Flight], own: Sequence[_Flight]) -> dict[str, Probabilities]:
        """The answers of those that succeed; raises the first error of `own`, those of others leave a gap."""
        if not flights:
            return {}
        for flight in flights:
            flight.waiters += 1
        try:
            await asyncio.wait([flight.task for flight in flights])
        finally:
            for flight in flights:
                self._leave(flight)
        found: dict[str, Probabilities] = {}
        for flight in flights:
            error = _error_of(flight.task)
            if error is None:
                found |= _answers(flight.questions, flight.task.result())
            elif flight in own:
                raise error
        return found

    def _leave(self, flight: _Flight) -> None:
        flight.waiters -= 1
        if not flight.waiters and not flight.task.done():
            flight.task.cancel()
            self._forget(flight)  # at once: nobody may join it any more

    def _forget(self, flight: _Flight, _: object = None) -> None:
        for key in flight.keys:
            if self._flights.get(key) is flight:
                del self._flights[key]


def requests_of(picture: Picture, questions: Sequence[str], limits: RequestLimits) -> list[tuple[str, ...]]:
    """The questions in their order, in as few requests as the limits allow.

    Raises TooLarge where the picture leaves no room for a question, InvalidInput for one that is no valid Unicode.
    """
    room = limits.max_bytes - len(picture.data)
    parts: list[list[str]] = []
    used = 0
    for question in questions:
        size = _encoded_bytes(question) + _LENGTH_BYTES
        if size > room:
            raise TooLarge(
                f"image and question have {len(picture.data) + size} bytes, over the limit of {limits.max_bytes} for one "
                "request to Triton: send a smaller image"
            )
        if not parts or used + size > room or len(parts[-1]) == limits.max_questions:
            parts.append([])
            used = 0
        parts[-1].append(question)
        used += size
    return [tuple(part) for part in parts]


def _error_of(task: asyncio.Task[ModelAnswer]) -> BaseException | None:
    # While somebody waits for it, a request is cancelled only by the closing of its connection.
    return Unavailable("the connection to Triton was closed; retry") if task.cancelled() else task.exception()


def _encoded_bytes(question: str) -> int:
    try:
        return len(question.encode())
    except UnicodeEncodeError as exc:
        raise InvalidInput.field("question", question, "holds half a surrogate pair: send valid Unicode") from exc


def _answers(questions: Sequence[str], answer: ModelAnswer) -> dict[str, Probabilities]:
    pairs = zip(questions, answer.probabilities, strict=True)
    return {q: Probabilities(p_yes=p_yes, p_no=p_no, version=answer.version) for q, (p_yes, p_no) in pairs}
