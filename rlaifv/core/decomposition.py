"""What the decomposer makes of an answer: its claims, and what gave none and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from rlaifv.core.claims import Claim


class SkipReason(StrEnum):
    """Why a stretch of an answer gave no claim. Bounded, so that it can label a metric."""

    OPINION = "opinion"
    HEDGE = "hedge"
    QUESTION = "question"
    NOT_ENGLISH = "not_english"
    NO_CONTENT = "no_content"


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
