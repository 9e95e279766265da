"""Verdicts: the labeler's yes or no to one question, with the probabilities kept (RLAIF-V, sec. 3.2, "conquer")."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from rlaifv.core.errors import InvalidInput

PROMPT_VERSION = "yes-no/1"
"""Version of the wording that `question_prompt` gives; part of every verdict's provenance."""

_LEAST, _MOST = -1e-6, 1.0 + 1e-6
"""Of a probability, rounding included."""


def question_prompt(question: str) -> str:
    """The user turn that asks a labeler one question; the image goes before it."""
    return f"{question.strip()} Answer with yes or no."


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Probabilities of the labeler's first answer token, softmax over the whole vocabulary in fp32.

    `p_yes` and `p_no` sum over all spellings of the word that are one token (yes, Yes, YES, with a leading space …).
    """

    question: str
    p_yes: float
    p_no: float
    labeler_version: str = ""

    def __post_init__(self) -> None:
        # Written out, for there are a hundred to a prompt. A NaN fails every comparison.
        if not (_LEAST <= self.p_yes <= _MOST and _LEAST <= self.p_no <= _MOST):
            name, p = ("p_no", self.p_no) if _LEAST <= self.p_yes <= _MOST else ("p_yes", self.p_yes)
            raise InvalidInput.field(f"verdict.{name}", p, "must be a probability between 0 and 1")

    @property
    def mass(self) -> float:
        """Probability that the labeler answers yes or no at all, 0 to 1; near 0 it said something else."""
        return self.p_yes + self.p_no


class Decision(StrEnum):
    """What a verdict means for its claim."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNDECIDED = "undecided"
    """Too little mass on yes and no: the labeler answered something else; such a claim counts neither way."""


class TieRule(StrEnum):
    """What an exact tie means."""

    REJECT = "reject"
    ACCEPT = "accept"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictRule:
    """When a claim is accepted. The defaults are the paper's: accept iff p_yes > p_no, whatever the mass.

    `threshold` is the least share p_yes / (p_yes + p_no) that is accepted, in (0, 1); at exactly the threshold `tie`
    decides. `min_mass` is the least p_yes + p_no for a verdict to count, 0 to 1.
    """

    threshold: float = 0.5
    tie: TieRule = TieRule.REJECT
    min_mass: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 < self.threshold < 1.0:
            raise InvalidInput.field("verdict_rule.threshold", self.threshold, "must be between 0 and 1, both excluded")
        if not 0.0 <= self.min_mass <= 1.0:
            raise InvalidInput.field("verdict_rule.min_mass", self.min_mass, "must be between 0 and 1")

    def decide(self, verdict: Verdict) -> Decision:
        """Accepted, rejected, or undecided where the mass is under `min_mass`."""
        if verdict.mass < self.min_mass:
            return Decision.UNDECIDED
        # As odds, so that the paper's rule is exactly p_yes > p_no: at 0.5 the odds are 1, and nothing is rounded.
        least = self.threshold / (1.0 - self.threshold) * verdict.p_no
        if verdict.p_yes == least:
            return Decision.ACCEPTED if self.tie is TieRule.ACCEPT else Decision.REJECTED
        return Decision.ACCEPTED if verdict.p_yes > least else Decision.REJECTED
