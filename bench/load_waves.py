"""Waves of clients against a labeler: what each asks, what it should get, and what came of it."""

from __future__ import annotations

import asyncio
import io
import json
import random
import sys
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Final

from PIL import Image as PilImage

from rlaifv.client import AsyncLabeler
from rlaifv.core.answers import ScoredAnswer
from rlaifv.core.errors import RlaifvError
from rlaifv.core.images import Image
from rlaifv.core.verdicts import Verdict

Reply = ScoredAnswer | tuple[Verdict, ...]

_THINGS: Final = ("circle", "square", "triangle", "star", "dog", "car")
_COLOURS: Final = ("red", "blue", "green", "yellow", "purple", "black")
PATIENCE_S: Final = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What one client wants: an answer scored, or (`questions`) some questions answered, about a picture of its own."""

    image: Image
    answer: str = ""
    questions: tuple[str, ...] = ()

    async def run(self, labeler: AsyncLabeler) -> Reply:
        """Ask once; the client itself asks again where the service is full."""
        if self.questions:
            return await labeler.ask(self.image, self.questions)
        return await labeler.score(self.image, self.answer)


@dataclass(slots=True)
class Wave:
    """What came of one wave: latencies in seconds; `statuses` by name of the error, OK included."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    claims: int = 0
    wrong: int = 0
    refused: int | None = None
    rss_bytes: int | None = None

    @property
    def good(self) -> bool:
        return not self.wrong and set(self.statuses) <= {"OK"}


def errands(count: int, seed: int, side_px: int = 224) -> list[Errand]:
    """`count` errands, no two with the same picture; half ask for a score, half have questions."""
    rng = random.Random(seed)
    found = []
    for at in range(count):
        noise = PilImage.frombytes("RGB", (8, 8), rng.randbytes(192)).resize((side_px, side_px))
        encoded = io.BytesIO()
        noise.save(encoded, "JPEG", quality=90)
        image = Image.of(encoded.getvalue())
        named = [f"{rng.choice(_COLOURS)} {rng.choice(_THINGS)}" for _ in range(4)]
        if at % 2:
            found.append(Errand(image=image, questions=tuple(f"Is there a {name}?" for name in named)))
        else:
            found.append(Errand(image=image, answer=" ".join(f"There is a {name}." for name in named)))
    return found


async def alone(target: str, wanted: Sequence[Errand]) -> list[Reply]:
    """The right replies: those that each errand gets when nobody else is there."""
    async with AsyncLabeler(target) as labeler:
        return [await errand.run(labeler) for errand in wanted]


async def wave(target: str, wanted: Sequence[Errand], right: Sequence[Reply], channels: int = 0) -> Wave:
    """All errands at once, each from a client of its own, over as many connections, or over `channels` that clients share."""
    done = Wave()
    labelers = [
        AsyncLabeler(target, timeout_s=PATIENCE_S, patience_s=PATIENCE_S) for _ in range(channels or len(wanted))
    ]

    async def client(at: int) -> None:
        begin = perf_counter()
        try:
            reply = await wanted[at].run(labelers[at % len(labelers)])
        except RlaifvError as error:
            done.statuses[type(error).__name__] += 1
        else:
            done.statuses["OK"] += 1
            done.wrong += reply != right[at]
            done.claims += len(reply.claims if isinstance(reply, ScoredAnswer) else reply)
            done.latencies.append(perf_counter() - begin)

    begin = perf_counter()
    try:
        await asyncio.gather(*(client(at) for at in range(len(wanted))))
    finally:
        await asyncio.gather(*(labeler.close() for labeler in labelers))
    done.seconds = perf_counter() - begin
    return done


@asynccontextmanager
async def probing(*addresses: str) -> AsyncIterator[dict[str, Any]]:
    """Probe a service meanwhile; what was found is in the dictionary afterwards, by kind (see bench.probing)."""
    found: dict[str, Any] = {}
    prober = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.probing", *addresses, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield found
    finally:
        printed, _ = await prober.communicate(b"")
        found.update(json.loads(printed))


async def metrics(address: str) -> dict[str, float]:
    """The service's metrics by name with labels."""

    def read() -> str:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=30) as response:
            return str(response.read().decode())

    lines = (await asyncio.to_thread(read)).splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}


def refusals(found: dict[str, float]) -> int:
    """Calls and items that a service has turned away as too many."""
    return int(sum(n for name, n in found.items() if "_total{" in name and 'code="RESOURCE_EXHAUSTED"' in name))
