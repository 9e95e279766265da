"""A Policy whose answers are drawn from a list of sentences, by seed, prompt, image and version."""

from __future__ import annotations

import hashlib
import random
from collections.abc import AsyncIterator, Sequence
from typing import Final

from rlaifv.adapters.fake.folders import BUILT_IN, read_checkpoint
from rlaifv.adapters.fake.queue import FakeQueue
from rlaifv.adapters.images import ImageSources, decode, fetch
from rlaifv.core.candidates import Candidate, FinishReason
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.errors import RlaifvError
from rlaifv.core.outcomes import Outcome
from rlaifv.ports.services import Generation

_THINGS: Final = ("car", "dog", "cup", "tree", "bus", "cat", "boat", "lamp")
_COLOURS: Final = ("red", "blue", "green", "yellow")


class FakePolicy:
    """Answers one item at a time, each after `latency_s`; as many tokens as words and one for the end."""

    def __init__(
        self,
        checkpoint: Checkpoint | None = None,
        latency_s: float = 0.0,
        max_waiting: int = 1024,
        sources: ImageSources = ImageSources(),  # noqa: B008 - frozen
    ) -> None:
        self._checkpoint = read_checkpoint(checkpoint or Checkpoint(uri=BUILT_IN, digest=""))
        self._queue = FakeQueue(latency_s, max_waiting)
        self.activity = self._queue.activity
        self._sources = sources

    async def generate(self, items: Sequence[Generation]) -> AsyncIterator[Outcome[tuple[Candidate, ...]]]:
        version = self._checkpoint.digest
        for item in items:
            try:
                async with self._queue.turn():
                    outcome = Outcome(item_id=item.prompt.id, value=self._candidates(item, version))
            except RlaifvError as error:
                outcome = Outcome(item_id=item.prompt.id, error=error)
            yield outcome

    async def load(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = read_checkpoint(checkpoint)

    async def version(self) -> str:
        return self._checkpoint.digest

    async def check(self) -> None:
        """It is never down."""

    async def close(self) -> None:
        """It holds nothing."""

    def _candidates(self, item: Generation, version: str) -> tuple[Candidate, ...]:
        data = fetch(item.prompt.image, self._sources)
        decode(data, self._sources.limits)
        digest = hashlib.sha256(data).hexdigest()
        return tuple(_candidate(item, index, seed, digest, version) for index, seed in enumerate(item.seeds))


def _candidate(item: Generation, index: int, seed: int, digest: str, version: str) -> Candidate:
    greedy = item.sampling.temperature == 0.0
    chance = random.Random(f"{'' if greedy else seed}/{item.prompt.text}/{digest}/{version}")
    sentences = [
        f"There is a {chance.choice(_COLOURS)} {thing}." for thing in chance.sample(_THINGS, chance.randint(2, 5))
    ]
    words = " ".join(sentences).split(" ")
    stopped = len(words) < item.sampling.max_new_tokens
    kept = words if stopped else words[: item.sampling.max_new_tokens]
    tokens = len(kept) + stopped
    return Candidate(
        prompt_id=item.prompt.id,
        index=index,
        seed=seed,
        text=" ".join(kept),
        finish_reason=FinishReason.STOP if stopped else FinishReason.LENGTH,
        policy_version=version,
        token_ids=tuple(chance.randrange(1000) for _ in range(tokens)),
        # Quarters are exact in single precision, in which the wire carries them.
        token_logprobs=tuple(-chance.randrange(1, 8) / 4 for _ in range(tokens)),
    )
