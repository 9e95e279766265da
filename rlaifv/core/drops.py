"""Nothing is dropped silently: every item left out is counted under one of these reasons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum


class DropReason(StrEnum):
    """Why a prompt, candidate, claim or pair went no further. Bounded, so that it can label a metric."""

    BAD_PROMPT = "bad_prompt"
    """The policy refused the prompt (its image could not be read, it was too long …); counts prompts."""
    TRUNCATED_ANSWER = "truncated_answer"
    """The answer reached max_new_tokens: its end is missing, it is not compared; counts candidates."""
    EMPTY_ANSWER = "empty_answer"
    """The answer holds no visible character; counts candidates."""
    DUPLICATE_ANSWER = "duplicate_answer"
    """Another candidate of the prompt has the same text and stands for it; counts candidates."""
    NO_CLAIMS = "no_claims"
    """The decomposer found nothing to check, so there is no score (sec. 3.2); counts candidates."""
    DECOMPOSER_FAILED = "decomposer_failed"
    """The decomposer gave an error for the answer; counts candidates."""
    LABELER_FAILED = "labeler_failed"
    """The labeler gave an error for the prompt's questions; counts candidates."""
    UNDECIDED = "undecided"
    """A claim of the answer got neither yes nor no (mass under min_mass), so it has no score; counts candidates."""
    NO_PAIR = "no_pair"
    """No two candidates of the prompt differ enough in score; counts prompts."""
    PAIR_CAP = "pair_cap"
    """Over the most pairs a prompt may give; counts pairs."""
    LENGTH_BALANCE = "length_balance"
    """Left out so that chosen answers are not shorter than rejected ones on the whole; counts pairs."""
    TOO_LONG = "too_long"
    """Over the trainer's token limit; counts pairs."""


def merge_counts(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Sum of counts by reason, sorted by reason, zeros left out."""
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return {str(reason): n for reason, n in sorted(total.items()) if n}
