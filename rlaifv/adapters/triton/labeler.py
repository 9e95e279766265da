"""The Labeler port over Triton's gRPC protocol.

    items ─▶ at most `max_waiting` ─▶ picture ─▶ questions that are not under way ─▶ at most `max_in_flight` requests ─▶ Triton
                  │ full                                                                  │ away: asked again for `patience_s`
                  ▼                                                                       ▼
             Overloaded                                                              Unavailable

Asking changes nothing, so a request may be repeated: while Triton restarts, callers wait. Each verdict is stamped with the digest
that came with its numbers; a restart with other weights in the middle of an item makes the item be asked again as a whole.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from rlaifv.adapters.images import ImageSources
from rlaifv.adapters.remote.connection import RETRYABLE, Patience
from rlaifv.adapters.triton.calls import ModelAnswer, TritonModel
from rlaifv.adapters.triton.pictures import Picture, Pictures
from rlaifv.adapters.triton.sharing import Probabilities, QuestionFlights, RequestLimits
from rlaifv.core.errors import DeadlineExceeded, Overloaded, RlaifvError, Unavailable
from rlaifv.core.outcomes import Outcome
from rlaifv.core.verdicts import Verdict
from rlaifv.ports.services import Questions
from rlaifv.rpc.metrics import Activity

log = structlog.stdlib.get_logger(__name__)

Verdicts = tuple[Verdict, ...]

_TRIES_FOR_ONE_VERSION: Final = 3
_READY_POLL_S: Final = 0.2
_STILL_WAITING_S: Final = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TritonOptions:
    """How a labeler talks to Triton.

    `patience_s` is how long a request goes on trying while Triton is away, `timeout_s` how long one try may take, `probe_s` how
    long `check` waits. The limits are those of one request; `picture_cache_bytes` is for pictures given by address.
    """

    max_waiting: int = 1024
    max_in_flight: int = 64
    patience_s: float = 60.0
    timeout_s: float = 120.0
    probe_s: float = 30.0
    max_request_bytes: int = 32 * 1024 * 1024
    max_request_questions: int = 256
    picture_cache_bytes: int = 256 * 1024 * 1024
    sources: ImageSources = field(default_factory=ImageSources)


class TritonLabeler:
    """ports.Labeler on the model `name` of the Triton at `target` ("host:port"). Use it in one event loop.

    `version` is the digest that answered last, "" before the first answer; `on_version` hears of every other one.
    """

    def __init__(
        self,
        target: str,
        name: str = "labeler",
        options: TritonOptions = TritonOptions(),
        on_version: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.version = ""
        self._options = options
        self._on_version = on_version
        self._model = TritonModel(target, name, options.max_request_bytes)
        self._pictures = Pictures(options.sources, options.picture_cache_bytes)
        limits = RequestLimits(max_bytes=options.max_request_bytes, max_questions=options.max_request_questions)
        self._questions = QuestionFlights(self._send, limits)
        self._slots = asyncio.Semaphore(options.max_in_flight)
        self._items = self._answered = 0
        self._closed = False

    async def ask(self, items: Sequence[Questions]) -> AsyncIterator[Outcome[Verdicts]]:
        """See ports.services.Labeler. A full queue slows the caller down; it is an item's error only when no item of this call
        is at work. Leaving the iterator cancels what nobody else waits for, inside Triton too."""
        waiting = deque(items)
        running: set[asyncio.Task[Outcome[Verdicts]]] = set()
        try:
            while waiting or running:
                while waiting and (not self._full or not running):
                    item = waiting.popleft()
                    if self._full:
                        yield Outcome(item_id=item.id, error=self._overloaded())
                    else:
                        running.add(self._begin(item))
                if running:
                    done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        yield task.result()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def check(self) -> None:
        """Raises Unavailable unless the model answers; a busy one does, for its other answers count."""
        answered = self._answered
        try:
            self._saw(await self._model.probe(self._options.probe_s))
        except Overloaded:
            return
        except DeadlineExceeded as error:
            if self._answered == answered:
                raise Unavailable(f"{self._model.service} says nothing for {self._options.probe_s:g} s") from error

    async def wait_until_ready(self) -> None:
        """Returns once the model has answered; a Triton that is not there yet may be still on its way."""
        loop = asyncio.get_running_loop()
        told = loop.time()
        while not self.version:
            try:
                await self.check()
            except Unavailable as error:
                if loop.time() - told > _STILL_WAITING_S:
                    told = loop.time()
                    log.warning("still waiting", reason=error.message)
            await asyncio.sleep(_READY_POLL_S)

    def activity(self) -> Activity:
        """For metrics: items at work, questions under way, requests answered."""
        return Activity(waiting=self._items, rows=len(self._questions), batches=self._answered)

    async def close(self) -> None:
        """Close the connection; what is under way fails with Unavailable."""
        self._closed = True
        await self._model.close()
        await self._pictures.close()

    @property
    def _full(self) -> bool:
        return self._items >= self._options.max_waiting

    def _overloaded(self) -> Overloaded:
        return Overloaded(f"{self._options.max_waiting} items are waiting already; retry after a pause")

    def _begin(self, item: Questions) -> asyncio.Task[Outcome[Verdicts]]:
        task = asyncio.create_task(self._outcome(item))
        self._items += 1
        task.add_done_callback(self._ended)
        return task

    def _ended(self, _: object) -> None:
        self._items -= 1

    async def _outcome(self, item: Questions) -> Outcome[Verdicts]:
        try:
            return Outcome(item_id=item.id, value=await self._verdicts(item))
        except RlaifvError as error:
            return Outcome(item_id=item.id, error=error)

    async def _verdicts(self, item: Questions) -> Verdicts:
        if not item.questions:
            return ()
        picture = await self._pictures.get(item.image)
        for _ in range(_TRIES_FOR_ONE_VERSION):
            found = await self._questions.ask(picture, item.questions)
            if len({answer.version for answer in found.values()}) == 1:
                return tuple(_verdict(question, found[question]) for question in item.questions)
        raise Unavailable(f"{self._model.service} changes its weights again and again: try again")

    async def _send(self, picture: Picture, questions: tuple[bytes, ...]) -> ModelAnswer:
        async with self._slots:
            patience = Patience(self._options.patience_s)
            while True:
                if self._closed:
                    raise Unavailable("the labeler is being closed; retry")
                try:
                    answer = await self._model.ask(picture.data, questions, self._options.timeout_s)
                except RETRYABLE as error:
                    await patience.pause(error)
                else:
                    self._answered += 1
                    self._saw(answer.version)
                    return answer

    def _saw(self, version: str) -> None:
        if version != self.version:
            self.version = version
            self._on_version(version)


def _verdict(question: str, answer: Probabilities) -> Verdict:
    return Verdict(question=question, p_yes=answer.p_yes, p_no=answer.p_no, labeler_version=answer.version)
