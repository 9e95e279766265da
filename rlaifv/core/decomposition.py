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
    UNREAD = "unread"
    """The language model that divides passed over it, also when asked again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedText:
    """A stretch `answer[start:end]` (code points) that gave no claim."""

    start: int
    end: int
    reason: SkipReason


class LeftOutReason(StrEnum):
    """Why a claim that a language model proposed was not taken, also not when the model was asked again."""

    QUOTE_NOT_FOUND = "quote_not_found"
    """What it quotes is not in the answer, so it has no place there."""
    NOT_ONE_QUESTION = "not_one_question"
    """It has no question, several, or one that is not answered by yes or no."""
    SHARED_QUESTION = "shared_question"
    """Another claim asks the same, so the question is not about this claim alone."""
    DENIES_OTHERWISE = "denies_otherwise"
    """Claim and question do not deny the same, so "yes" would not mean that the claim holds."""
    INCOMPLETE = "incomplete"
    """A field is missing, empty or of no known type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOutClaims:
    """`count` claims were left out for this reason."""

    reason: LeftOutReason
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Decomposition:
    """Claims in the order of the answer, each canonical text once; `duplicates` counts repetitions left out.

    `left_out` counts the claims of a language model that broke a rule, each reason once; a grammar leaves none out.
    """

    claims: tuple[Claim, ...]
    skipped: tuple[SkippedText, ...] = ()
    duplicates: int = 0
    version: str = ""
    left_out: tuple[LeftOutClaims, ...] = ()
