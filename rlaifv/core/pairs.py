"""Preference pairs from scored candidates (RLAIF-V, sec. 3.2 and appendix on data construction).

Deviations from the published code, each with its reason:
1. Sampling at most `max_pairs_per_prompt` pairs is seeded and ordered, so one run gives one pair file (reference fault 9).
2. Prompts are grouped by their id, never by text joined with a separator (fault 4: a question containing "@").
3. A repeated claim does not disqualify its answer (fault 6); duplicate answers are folded before pairing, counted.
4. An empty or one-sided set is left as it is by the length filter instead of dividing by zero (fault 8).
5. Lengths are reported for kept pairs only (fault 5).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from rlaifv.core.claims import content_id
from rlaifv.core.drops import DropReason
from rlaifv.core.errors import InvalidInput
from rlaifv.core.scoring import ScoredCandidate
from rlaifv.core.seeds import derive_seed


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferencePair:
    """Two answers to one prompt, the first preferred."""

    prompt_id: str
    chosen: ScoredCandidate
    rejected: ScoredCandidate

    @property
    def id(self) -> str:
        """Content hash of the two candidates."""
        return content_id("pair", self.chosen.candidate.id, self.rejected.candidate.id)

    @property
    def margin(self) -> float:
        """Score difference, over 0."""
        return self.chosen.score - self.rejected.score


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRule:
    """Which pairs are kept. Defaults are the paper's."""

    min_score_difference: float = 1.0
    max_pairs_per_prompt: int = 2
    length_balance: bool = True

    def __post_init__(self) -> None:
        if self.min_score_difference <= 0:
            raise InvalidInput.field("pair_rule.min_score_difference", self.min_score_difference, "must be over 0")
        if self.max_pairs_per_prompt < 1:
            raise InvalidInput.field("pair_rule.max_pairs_per_prompt", self.max_pairs_per_prompt, "must be 1 or more")


def prompt_pairs(
    candidates: Sequence[ScoredCandidate], rule: PairRule, run_seed: int
) -> tuple[list[PreferencePair], dict[DropReason, int]]:
    """The pairs of ONE prompt and what was left out.

    All combinations whose scores differ by at least `min_score_difference`; of these a seeded sample of at most
    `max_pairs_per_prompt`. The order of `candidates` does not matter. Raises InvalidInput for mixed prompts.
    """
    prompt_ids = {scored.candidate.prompt_id for scored in candidates}
    if len(prompt_ids) > 1:
        raise InvalidInput.field("candidates.prompt_id", sorted(prompt_ids), "must be the same for all candidates")
    unique, duplicates = _fold_duplicates(candidates)
    found = [
        PreferencePair(prompt_id=hi.candidate.prompt_id, chosen=hi, rejected=lo)
        for a, b in combinations(unique, 2)
        for hi, lo in [(a, b) if a.score > b.score else (b, a)]
        if hi.score - lo.score >= rule.min_score_difference
    ]
    drops = {DropReason.DUPLICATE_ANSWER: duplicates} if duplicates else {}
    if not found:
        return [], drops | {DropReason.NO_PAIR: 1}
    kept = found
    if len(found) > rule.max_pairs_per_prompt:
        chooser = random.Random(derive_seed(run_seed, "pairs", found[0].prompt_id))
        kept = sorted(chooser.sample(found, rule.max_pairs_per_prompt), key=found.index)
        drops[DropReason.PAIR_CAP] = len(found) - len(kept)
    return kept, drops


def _fold_duplicates(candidates: Sequence[ScoredCandidate]) -> tuple[list[ScoredCandidate], int]:
    """The first candidate (by index) of each text, ordered by index, and how many were folded away."""
    ordered = sorted(candidates, key=lambda scored: (scored.candidate.index, scored.candidate.id))
    first: dict[str, ScoredCandidate] = {}
    for scored in ordered:
        first.setdefault(scored.candidate.text.strip(), scored)
    return list(first.values()), len(ordered) - len(first)
