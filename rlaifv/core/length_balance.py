"""Length balance: score = minus rejected claims favours short answers; this filter takes that bias out of the pairs.

The published filter: for each cut r drop the pairs whose chosen answer is shorter than the rejected by more than the share r,
and take the first r that brings mean chosen and mean rejected length closest together.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from rlaifv.core.drops import DropReason
from rlaifv.core.pairs import PreferencePair

CUTS = tuple(step / 50 for step in range(50))
"""The cuts tried, in order: 0, 0.02, … 0.98."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """Which pairs stay, the cut used (None: nothing was dropped), mean lengths in words of those, and how many were dropped."""

    keep: tuple[bool, ...]
    cut: float | None
    mean_chosen_words: float
    mean_rejected_words: float
    drops: dict[DropReason, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Balanced:
    """The kept pairs in their order, the cut used (None: nothing was dropped) and mean lengths in words, of kept pairs only."""

    pairs: tuple[PreferencePair, ...]
    cut: float | None
    mean_chosen_words: float
    mean_rejected_words: float
    drops: dict[DropReason, int]


def words(text: str) -> int:
    """Length of a text in words: runs of characters between white space."""
    return len(text.split())


def balance_lengths(pairs: Sequence[PreferencePair]) -> Balanced:
    """Drop the fewest-needed pairs whose chosen answer is much shorter; never drops the last pair."""
    balance = balance_words([(words(p.chosen.candidate.text), words(p.rejected.candidate.text)) for p in pairs])
    return Balanced(
        pairs=tuple(pair for pair, keep in zip(pairs, balance.keep, strict=True) if keep),
        cut=balance.cut,
        mean_chosen_words=balance.mean_chosen_words,
        mean_rejected_words=balance.mean_rejected_words,
        drops=balance.drops,
    )


def balance_words(lengths: Sequence[tuple[int, int]], *, drop: bool = True) -> Balance:
    """The same by (chosen, rejected) lengths in words; without `drop` every pair stays.

    A cut that would leave no pair, or only empty rejected answers, is passed over (reference fault 8).
    """
    cut = _best_cut(lengths) if drop else None
    keep = tuple(cut is None or _shortfall(c, r) <= cut for c, r in lengths)
    kept = [length for length, stays in zip(lengths, keep, strict=True) if stays]
    dropped = len(lengths) - len(kept)
    return Balance(
        keep=keep,
        cut=cut,
        mean_chosen_words=_mean([c for c, _ in kept]),
        mean_rejected_words=_mean([r for _, r in kept]),
        drops={DropReason.LENGTH_BALANCE: dropped} if dropped else {},
    )


def _best_cut(lengths: Sequence[tuple[int, int]]) -> float | None:
    """The first cut with the smallest gap between mean lengths; None where no cut leaves anything to compare."""
    chosen, rejected = [0] * len(CUTS), [0] * len(CUTS)
    for c, r in lengths:
        # A pair that stays at one cut stays at all later ones, so it is added up once and summed over the cuts below.
        first = bisect_left(CUTS, _shortfall(c, r))
        if first < len(CUTS):
            chosen[first] += c
            rejected[first] += r
    totals = zip(accumulate(chosen), accumulate(rejected), CUTS, strict=True)
    # Relative gap of the means, |mean chosen - mean rejected| / mean rejected, where it is defined.
    gaps = [(abs(c - r) / r, cut) for c, r, cut in totals if r]
    return min(gaps, key=lambda item: item[0])[1] if gaps else None


def _shortfall(chosen: int, rejected: int) -> float:
    """By which share of the rejected length the chosen is shorter; 0 or less where it is not."""
    return (rejected - chosen) / rejected if rejected else 0.0


def _mean(values: Sequence[int]) -> float:
    return sum(values) / len(values) if values else 0.0
