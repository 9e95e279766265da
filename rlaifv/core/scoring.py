"""The score of an answer from the verdicts on its claims (RLAIF-V, sec. 3.2, "combine")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from rlaifv.core.candidates import Candidate
from rlaifv.core.claims import Claim
from rlaifv.core.errors import InvalidInput
from rlaifv.core.verdicts import Decision, Verdict, VerdictRule


class Aggregate(StrEnum):
    """How rejected claims become a score."""

    COUNT = "count"
    """Minus their number (the paper)."""
    RATE = "rate"
    """Minus their share of the decided claims."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedClaim:
    """A claim, the labeler's verdict on its question, and what the rule made of it."""

    claim: Claim
    verdict: Verdict
    decision: Decision

    @property
    def accepted(self) -> bool:
        return self.decision is Decision.ACCEPTED


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredCandidate:
    """A candidate with its judged claims and its score (at most 0, higher is better)."""

    candidate: Candidate
    claims: tuple[JudgedClaim, ...]
    score: float


def judge_claims(claims: Sequence[Claim], verdicts: Sequence[Verdict], rule: VerdictRule) -> tuple[JudgedClaim, ...]:
    """Pair every claim with the verdict on its question; raises InvalidInput if a question has none.

    Verdicts are found by question text, so one verdict serves all claims that ask the same (reference fault 6).
    """
    by_question = {verdict.question: verdict for verdict in verdicts}
    missing = [claim.question for claim in claims if claim.question not in by_question]
    if missing:
        raise InvalidInput.field(
            "verdicts", missing[0], f"{len(missing)} claim(s) have no verdict, first the one shown"
        )
    return tuple(
        JudgedClaim(claim=claim, verdict=by_question[claim.question], decision=rule.decide(by_question[claim.question]))
        for claim in claims
    )


def response_score(decisions: Sequence[Decision], aggregate: Aggregate = Aggregate.COUNT) -> float:
    """Minus the number (or share) of rejected claims: 0 is best (RLAIF-V, sec. 3.2).

    Undecided claims count neither way. Raises InvalidInput if no claim is decided: such an answer has no score.
    """
    decided = [d for d in decisions if d is not Decision.UNDECIDED]
    if not decided:
        raise InvalidInput("a response without decided claims has no score")
    rejected = sum(d is Decision.REJECTED for d in decided)
    return -rejected / len(decided) if aggregate is Aggregate.RATE else float(-rejected)
