"""Clients of the labeler API that ask the same questions in three ways, each at work on one request at a time.

`whole`: a call has all questions about a picture. `calls`: a call has one question, and the picture. `stream`: one call for a
picture, with an item for each question, each with the picture: the most that one question a request can reach.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

from bench.scenes import AskedPicture
from rlaifv.adapters.remote.labeler import RemoteLabeler
from rlaifv.core.images import Image
from rlaifv.core.verdicts import Verdict
from rlaifv.ports.services import Questions

PATIENCE_S = 600.0


@dataclass(slots=True)
class Load:
    """What came of one round: the verdicts by picture and question, and every request's seconds."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    verdicts: dict[tuple[str, str], Verdict] = field(default_factory=dict)


def noise_pictures(asked: Sequence[AskedPicture], size: int, seed: int) -> list[AskedPicture]:
    """The same questions about pictures of exactly so many bytes; nobody decodes them."""
    rng = np.random.default_rng(seed)
    return [AskedPicture(image=Image.of(rng.bytes(size)), answers=one.answers) for one in asked]


class Clients:
    """`count` clients, each with a connection of its own. Use inside one event loop."""

    def __init__(self, target: str, count: int) -> None:
        self._labelers = [RemoteLabeler(target, patience_s=PATIENCE_S, stall_s=PATIENCE_S) for _ in range(count)]

    async def close(self) -> None:
        await asyncio.gather(*(labeler.close() for labeler in self._labelers))

    async def whole(self, pictures: Sequence[AskedPicture]) -> Load:
        """A request for each picture."""
        return await self._share([(one.image, (tuple(_distinct(one)),)) for one in pictures])

    async def calls(self, pictures: Sequence[AskedPicture]) -> Load:
        """A call for each question."""
        return await self._share([(one.image, ((question,),)) for one in pictures for question in _distinct(one)])

    async def stream(self, pictures: Sequence[AskedPicture]) -> Load:
        """A call for each picture with an item for each question; a latency is a call's."""
        return await self._share([(one.image, tuple((question,) for question in _distinct(one))) for one in pictures])

    async def _share(self, errands: Sequence[tuple[Image, tuple[tuple[str, ...], ...]]]) -> Load:
        """Every client takes the next errand as soon as it is done with its last: a picture and the questions of its items."""
        done, left = Load(), iter(errands)

        async def client(labeler: RemoteLabeler) -> None:
            for image, parts in left:
                items = [Questions(id=str(at), image=image, questions=part) for at, part in enumerate(parts)]
                begin = perf_counter()
                async for outcome in labeler.ask(items):
                    for verdict in outcome.unwrap():
                        done.verdicts[image.sha256, verdict.question] = verdict
                done.latencies.append(perf_counter() - begin)

        begin = perf_counter()
        await asyncio.gather(*(client(labeler) for labeler in self._labelers))
        done.seconds = perf_counter() - begin
        return done


Way = Callable[[Sequence[AskedPicture]], Awaitable[Load]]


def _distinct(one: AskedPicture) -> list[str]:
    return list(dict.fromkeys(one.questions))
