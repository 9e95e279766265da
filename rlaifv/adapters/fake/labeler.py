"""A Labeler whose verdicts follow from the image's digest and the question, or that fails in a chosen way."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence

from rlaifv.adapters.fake.behaviour import FakeBehaviour
from rlaifv.adapters.fake.folders import BUILT_IN, read_checkpoint
from rlaifv.adapters.fake.queue import FakeQueue
from rlaifv.adapters.images import ImageSources, decode, fetch
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.errors import RlaifvError, Unavailable
from rlaifv.core.outcomes import Outcome
from rlaifv.core.verdicts import Verdict
from rlaifv.ports.services import Questions


class FakeLabeler:
    """Answers one item at a time, each after `latency_s`."""

    def __init__(
        self,
        checkpoint: Checkpoint | None = None,
        behaviour: FakeBehaviour = FakeBehaviour.ANSWERS,
        latency_s: float = 0.0,
        max_waiting: int = 1024,
        sources: ImageSources = ImageSources(),  # noqa: B008 - frozen
    ) -> None:
        self.checkpoint = read_checkpoint(checkpoint or Checkpoint(uri=BUILT_IN, digest=""))
        self._behaviour = behaviour
        self._queue = FakeQueue(latency_s, max_waiting)
        self.activity = self._queue.activity
        self._sources = sources

    async def ask(self, items: Sequence[Questions]) -> AsyncIterator[Outcome[tuple[Verdict, ...]]]:
        for item in items:
            await self.check()
            try:
                async with self._queue.turn():
                    outcome = Outcome(item_id=item.id, value=await asyncio.to_thread(self._verdicts, item))
            except RlaifvError as error:
                outcome = Outcome(item_id=item.id, error=error)
            yield outcome

    async def check(self) -> None:
        """Raises Unavailable where it is down."""
        if self._behaviour is FakeBehaviour.DOWN:
            raise Unavailable("the fake labeler is down")

    async def close(self) -> None:
        """It holds nothing."""

    def _verdicts(self, item: Questions) -> tuple[Verdict, ...]:
        if self._behaviour is FakeBehaviour.BROKEN:
            raise RuntimeError("a secret of the fake labeler")
        data = fetch(item.image, self._sources)
        decode(data, self._sources.limits)
        digest = hashlib.sha256(data).hexdigest()
        return tuple(self._verdict(digest, question) for question in item.questions)

    def _verdict(self, digest: str, question: str) -> Verdict:
        share = hashlib.sha256(f"{self.checkpoint.digest}/{digest}/{question}".encode()).digest()[0] / 256
        mass = 0.001 if self._behaviour is FakeBehaviour.NEITHER else 0.95
        return Verdict(
            question=question, p_yes=mass * share, p_no=mass * (1 - share), labeler_version=self.checkpoint.digest
        )
