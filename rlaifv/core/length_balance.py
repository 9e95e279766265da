"""Length balance: score = minus rejected claims favours short answers; this filter takes that bias out of the pairs.

The published filter: for each cut r drop the pairs whose chosen answer is shorter than the rejected by more than the share r,
and take the first r that brings mean chosen and mean rejected length closest together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rlaifv.core.drops import DropReason
from rlaifv.core.pairs import PreferencePair

CUTS = tuple(step / 50 for step in range(50))
"""The cuts tried, in order: 0, 0.02, … 0.98."""


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
    """Drop the fewest-needed pairs whose chosen answer is much shorter; never drops the last pair.

    A cut that would leave no pair, or only empty rejected answers, is passed over (reference fault 8).
    """
    lengths = [(words(p.chosen.candidate.text), words(p.rejected.candidate.text)) for p in pairs]
    cut = _best_cut(lengths)
    keep = [cut is None or _shortfall(c, r) <= cut for c, r in lengths]
    kept_pairs = tuple(pair for pair, k in zip(pairs, keep, strict=True) if k)
    kept_lengths = [length for length, k in zip(lengths, keep, strict=True) if k]
    dropped = len(pairs) - len(kept_pairs)
    return Balanced(
        pairs=kept_pairs,
        cut=cut,
        mean_chosen_words=_mean([c for c, _ in kept_lengths]),
        mean_rejected_words=_mean([r for _, r in kept_lengths]),
        drops={DropReason.LENGTH_BALANCE: dropped} if dropped else {},
    )


def _best_cut(lengths: Sequence[tuple[int, int]]) -> float | None:
    """The first cut with the smallest gap between mean lengths; None where no cut leaves anything to compare."""
    gaps = [(_relative_gap([(c, r) for c, r in lengths if _shortfall(c, r) <= cut]), cut) for cut in CUTS]
    defined = [(gap, cut) for gap, cut in gaps if gap is not None]
    return min(defined, key=lambda item: item[0])[1] if defined else None


def _shortfall(chosen: int, rejected: int) -> float:
    """By which share of the rejected length the chosen is shorter; 0 or less where it is not."""
    return (rejected - chosen) / rejected if rejected else 0.0


def _relative_gap(lengths: Sequence[tuple[int, int]]) -> float | None:
    """|mean chosen - mean rejected| / mean rejected; None where it is not defined."""
    total_rejected = sum(r for _, r in lengths)
    if total_rejected == 0:
        return None
    return abs(sum(c for c, _ in lengths) - total_rejected) / total_rejected


def _mean(values: Sequence[int]) -> float:
    return sum(values) / len(values) if values else 0.0
