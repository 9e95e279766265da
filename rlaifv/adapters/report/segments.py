"""Cuts an answer at the borders of its claims, so that each stretch can be shown with its claims' colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, Protocol, TypeVar


class Spanned(Protocol):
    """Anything that came from `answer[start:end]` (code points)."""

    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...


S = TypeVar("S", bound=Spanned)


@dataclass(frozen=True, slots=True)
class Segment(Generic[S]):
    """A stretch of the answer and the claims that colour it; joined, the texts are the answer."""

    text: str
    claims: tuple[S, ...]


def segments(answer: str, claims: Sequence[S]) -> list[Segment[S]]:
    """The answer in order. Where claims nest, the innermost ones colour a stretch ("red" in "a red car").

    A claim that lies wholly under inner ones colours its whole stretch together with them: none is hidden. Spans outside
    the answer are cut to it.
    """
    borders = {0, len(answer)}
    for claim in claims:
        borders |= {min(max(claim.start, 0), len(answer)), min(max(claim.end, 0), len(answer))}
    cuts = sorted(borders)
    parts = [(start, end) for start, end in pairwise(cuts) if start < end]
    inner = {part: _innermost(part, claims) for part in parts}
    shown = {index for indexes in inner.values() for index in indexes}
    for index, claim in enumerate(claims):
        if index not in shown:
            for part in parts:
                if _covers(claim, part):
                    inner[part].append(index)
    return [Segment(answer[s:e], tuple(claims[i] for i in inner[(s, e)])) for s, e in parts]


def _covers(claim: Spanned, part: tuple[int, int]) -> bool:
    return claim.start <= part[0] and part[1] <= claim.end


def _innermost(part: tuple[int, int], claims: Sequence[Spanned]) -> list[int]:
    covering = [(claim.end - claim.start, index) for index, claim in enumerate(claims) if _covers(claim, part)]
    shortest = min((length for length, _ in covering), default=0)
    return [index for length, index in covering if length == shortest]
