"""How far the labeler can be trusted: its verdicts on held-out claims against the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rlaifv.adapters.report.run_files import ClaimRow, RunFiles

BINS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Claims whose p_yes / (p_yes + p_no) lies in one tenth: its mean, the share that is true, and how many."""

    mean_share: float
    true_share: float
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Verdicts on claims of one type. `balanced` is the mean of both recalls; None where only one kind of claim occurs."""

    type: str
    true: int
    false: int
    accepted_of_true: float | None
    rejected_of_false: float | None

    @property
    def balanced(self) -> float | None:
        if self.accepted_of_true is None or self.rejected_of_false is None:
            return None
        return (self.accepted_of_true + self.rejected_of_false) / 2


def judged_claims(run: RunFiles) -> list[ClaimRow]:
    """The held-out claims with truth and verdict, each policy version's answers once."""
    seen: set[str] = set()
    claims: list[ClaimRow] = []
    for round_ in run.rounds:
        versions = {answer.policy_version for answer in round_.answers}
        if versions <= seen:
            continue
        claims += [c for a in round_.answers if a.policy_version not in seen for c in a.claims]
        seen |= versions
    return [claim for claim in claims if claim.truth is not None and claim.share is not None]


def reliability_bins(claims: Sequence[ClaimRow]) -> list[Bin]:
    """The bins that hold claims, from sure no to sure yes."""
    binned: dict[int, list[tuple[float, bool]]] = {}
    for claim in claims:
        if claim.share is not None and claim.truth is not None:
            binned.setdefault(min(int(claim.share * BINS), BINS - 1), []).append((claim.share, claim.truth))
    return [
        Bin(
            mean_share=sum(share for share, _ in held) / len(held),
            true_share=sum(truth for _, truth in held) / len(held),
            count=len(held),
        )
        for _, held in sorted(binned.items())
    ]


def accuracy_by_type(claims: Sequence[ClaimRow]) -> list[Accuracy]:
    """One entry per claim type, most frequent first, then "all"; undecided claims are left out."""
    types: dict[str, list[ClaimRow]] = {}
    decided = [claim for claim in claims if claim.accepted is not None and claim.truth is not None]
    for claim in decided:
        types.setdefault(claim.type, []).append(claim)
    ordered = sorted(types.items(), key=lambda item: (-len(item[1]), item[0]))
    return [_accuracy(name, held) for name, held in ordered] + ([_accuracy("all", decided)] if decided else [])


def _accuracy(name: str, claims: Sequence[ClaimRow]) -> Accuracy:
    true = [claim for claim in claims if claim.truth]
    false = [claim for claim in claims if claim.truth is False]
    return Accuracy(
        type=name,
        true=len(true),
        false=len(false),
        accepted_of_true=sum(c.accepted is True for c in true) / len(true) if true else None,
        rejected_of_false=sum(c.accepted is False for c in false) / len(false) if false else None,
    )
