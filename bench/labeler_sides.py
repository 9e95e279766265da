"""What the bench of the labeler compares: questions of a turn, a side that answers them, ours, and how alike two sides are."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from bench.scenes import AskedPicture, asked_pictures
from rlaifv.adapters.huggingface.labeler import HuggingFaceLabeler, LabelerOptions
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.training import Precision
from rlaifv.ports.services import Questions

LIMIT = 1e-4
"""How far apart two sides' probabilities of one claim may lie in fp32."""

_NO_WORSE = 1.25
"""In bf16, where every side rounds its sums in its own order, ours may lie so many times as far from fp32 as the other does."""


class Answer(NamedTuple):
    """What a side says about one claim; `accepted` is its own decision."""

    p_yes: float
    p_no: float
    accepted: bool

    @classmethod
    def of(cls, p_yes: float, p_no: float) -> Answer:
        """With the paper's decision."""
        return cls(p_yes, p_no, p_yes > p_no)


class Side(Protocol):
    """One way to answer all questions about some pictures."""

    def ask(self, pictures: Sequence[AskedPicture]) -> list[Answer]:
        """One answer a question, picture by picture, repetitions included."""
        ...

    def cpu_seconds(self) -> float:
        """CPU time that processes of its own, beside this one, have used so far."""
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...


class Turns:
    """A side's work turn after turn, each with pictures nobody has seen: caches that outlive a picture are of no use."""

    def __init__(self, side: Side, turns: Sequence[Sequence[AskedPicture]]) -> None:
        self._side = side
        self._left = iter(turns)
        self.found: list[Answer] = []

    def __call__(self) -> list[Answer]:
        answers = self._side.ask(next(self._left))
        self.found += answers
        return answers


def make_turns(
    rounds: int, seed: int, *, pictures: int, answers: int, claims: int, repeated: float
) -> list[list[AskedPicture]]:
    """The warm-up's pictures, one with one answer, and those of every round; a share `repeated` of all claims repeats one.

    Raises ValueError for a share that answers without repetitions inside them cannot have.
    """
    later = repeated * answers / max(1, answers - 1)  # nothing in the first answer repeats anything
    if not 0 <= later < 1:
        raise ValueError(
            f"repeated = {repeated}: must be at least 0 and under {1 - 1 / answers:.2f} with {answers} answers"
        )
    warm_up = asked_pictures(1, seed + 104_729, answers=1, claims=claims)
    every = asked_pictures(pictures * rounds, seed, answers=answers, claims=claims, repeated=later)
    return [warm_up, *(every[at * pictures : (at + 1) * pictures] for at in range(rounds))]


def reworded(picture: AskedPicture, change: Callable[[str], str]) -> AskedPicture:
    """The same picture with every question put in other words."""
    return AskedPicture(
        image=picture.image, answers=tuple(tuple(change(question) for question in answer) for answer in picture.answers)
    )


class OurSide:
    """HuggingFaceLabeler as a service's embedded backend: all pictures given at once."""

    def __init__(self, folder: Path, precision: Precision, threads: int) -> None:
        options = LabelerOptions(precision=precision, threads=threads)
        self._labeler = HuggingFaceLabeler.open(Checkpoint(uri=str(folder), digest=""), options)

    def ask(self, pictures: Sequence[AskedPicture]) -> list[Answer]:
        return asyncio.run(self._ask(pictures))

    def cpu_seconds(self) -> float:
        return 0.0

    def close(self) -> None:
        self._labeler.close()

    async def _ask(self, pictures: Sequence[AskedPicture]) -> list[Answer]:
        items = [
            Questions(id=str(number), image=one.image, questions=tuple(one.questions))
            for number, one in enumerate(pictures)
        ]
        found: dict[str, list[Answer]] = {}
        async for outcome in self._labeler.ask(items):
            found[outcome.item_id] = [Answer.of(verdict.p_yes, verdict.p_no) for verdict in outcome.unwrap()]
        return [answer for item in items for answer in found[item.id]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Of two sides' answers to the same questions. `flips` counts claims that only one of them accepts.

    `least_share` and `greatest_share` are those of p_yes / (p_yes + p_no): near 0 and 1, a wrong verdict would show. `rms_theirs`
    and `rms_ours` are root mean squares of the distances from the same model's answers in fp32; 0 where those were not asked.
    """

    max_abs_diff: float
    flips: int
    accepted: float
    least_share: float
    greatest_share: float
    rms_theirs: float = 0.0
    rms_ours: float = 0.0

    @classmethod
    def of(cls, theirs: Sequence[Answer], ours: Sequence[Answer], exact: Sequence[Answer] = ()) -> Agreement:
        pairs = list(zip(theirs, ours, strict=True))
        shares = [one.p_yes / (one.p_yes + one.p_no) for one in ours]
        return cls(
            max_abs_diff=max(max(abs(a.p_yes - b.p_yes), abs(a.p_no - b.p_no)) for a, b in pairs),
            flips=sum(a.accepted != b.accepted for a, b in pairs),
            accepted=sum(one.accepted for one in ours) / len(ours),
            least_share=min(shares),
            greatest_share=max(shares),
            rms_theirs=_rms(theirs, exact),
            rms_ours=_rms(ours, exact),
        )

    def within(self, precision: Precision) -> bool:
        """In fp32 every verdict must be the same; in bf16 ours must be no farther from fp32 than the other side."""
        if precision is Precision.BF16:
            return self.rms_ours <= _NO_WORSE * self.rms_theirs
        return self.max_abs_diff <= LIMIT and self.flips == 0


def _rms(found: Sequence[Answer], exact: Sequence[Answer]) -> float:
    if not exact:
        return 0.0
    squares = [(a.p_yes - b.p_yes) ** 2 + (a.p_no - b.p_no) ** 2 for a, b in zip(found, exact, strict=True)]
    return math.sqrt(sum(squares) / (2 * len(squares)))
