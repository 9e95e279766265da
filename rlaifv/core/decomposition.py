"""What the decomposer makes of an answer: its claims, and what gave none and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from rlaifv.core.claims import Claim


class SkipReason(StrEnum):
    """Why a stretch of an answer gave no claim. Bounded, so that it can label a metric."""

    OPINION = "opinion"
    """Taste, mood or interpretation: "The atmosphere is cozy."."""
    HEDGE = "hedge"
    """The answer itself is unsure: "It might be a cat."."""
    QUESTION = "question"
    """Asks instead of asserting."""
    NOT_ENGLISH = "not_english"
    """Another language, or no language at all."""
    NO_CONTENT = "no_content"
    """Nothing in it can be checked against an image: greetings, fragments, code, abstractions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedText:
    """A stretch `answer[start:end]` (code points) that gave no claim."""

    start: int
    end: int
    reason: SkipReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Decomposition:
    """Claims in the order of the answer, each canonical text once; `duplicates` counts repetitions left out."""

    claims: tuple[Claim, ...]
    skipped: tuple[SkippedText, ...] = ()
    duplicates: int = 0
    version: str = ""
