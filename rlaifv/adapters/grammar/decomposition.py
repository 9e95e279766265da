"""What the grammar decomposer returns: claims in reading order, and every sentence that gave none with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from rlaifv.core.claims import Claim


class SkipReason(StrEnum):
    """Why a sentence yielded no claim."""

    OPINION = "opinion"
    """Taste, mood or interpretation: "The atmosphere is cozy."."""
    HEDGE = "hedge"
    """The answer itself is unsure: "It might be a cat."."""
    QUESTION = "question"
    """Asks instead of asserting."""
    NOT_ENGLISH = "not_english"
    """Another language, or no language at all."""
    NO_CONTENT = "no_content"
    """English, but nothing in it can be checked against an image: greetings, fragments, code, abstractions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedSentence:
    """A sentence or fragment without claims; `answer[start:end]` is its wording, offsets as in `Claim`."""

    start: int
    end: int
    reason: SkipReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Decomposition:
    """All of an answer, divided.

    `claims` are ordered by (start, end) and their texts are distinct: of repeated claims the first stays and
    `duplicates` counts the others. `skipped` is in reading order.
    """

    claims: tuple[Claim, ...]
    skipped: tuple[SkippedSentence, ...]
    duplicates: int = 0
