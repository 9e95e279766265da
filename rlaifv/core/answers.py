"""A whole answer, judged: what the labeler service gives to somebody who only wants to know what is made up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rlaifv.core.scoring import Aggregate, JudgedClaim, response_score
from rlaifv.core.signals import CLAIM_TRUST, Signal, SignalScope
from rlaifv.core.verdicts import Decision, VerdictRule


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringRule:
    """How claims are judged and how their decisions become a score; the paper's rule by default."""

    verdict: VerdictRule = field(default_factory=VerdictRule)
    aggregate: Aggregate = Aggregate.COUNT


PAPER_RULE = ScoringRule()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredAnswer:
    """An answer's claims, in its order, and its score: at most 0, higher is better, None where no claim was decided."""

    claims: tuple[JudgedClaim, ...]
    score: float | None
    labeler_version: str = ""
    decomposer_version: str = ""

    @property
    def signals(self) -> tuple[Signal, ...]:
        """The score as a signal about the whole answer; none without a score."""
        if self.score is None:
            return ()
        return (
            Signal(
                name=CLAIM_TRUST,
                scope=SignalScope.RESPONSE,
                value=self.score,
                provider="labeler",
                version=self.labeler_version,
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedAnswer:
    """One of several answers to a prompt. `index` is its position in the request, from 0."""

    index: int
    answer: ScoredAnswer


def score_of(claims: Sequence[JudgedClaim], aggregate: Aggregate) -> float | None:
    """The score over the decided claims; None if there is none."""
    decisions = [judged.decision for judged in claims]
    if all(decision is Decision.UNDECIDED for decision in decisions):
        return None
    return response_score(decisions, aggregate)


def rank(answers: Sequence[ScoredAnswer]) -> tuple[RankedAnswer, ...]:
    """Best first; equal scores keep their order, answers without a score come last."""
    order = sorted(range(len(answers)), key=lambda at: _sort_key(answers[at]))
    return tuple(RankedAnswer(index=at, answer=answers[at]) for at in order)


def _sort_key(answer: ScoredAnswer) -> tuple[bool, float]:
    return answer.score is None, -(answer.score or 0.0)
