"""The words and class names by which the page speaks of claims and of what was left out."""

from __future__ import annotations

from collections.abc import Sequence

from rlaifv.adapters.report.run_files import ClaimRow
from rlaifv.core.drops import DropReason

DROP_REASONS: dict[str, tuple[str, str]] = {
    DropReason.BAD_PROMPT: ("prompts", "the policy refused the prompt, for example an unreadable picture"),
    DropReason.TRUNCATED_ANSWER: ("answers", "reached the token limit, so the end is missing"),
    DropReason.EMPTY_ANSWER: ("answers", "holds no visible character"),
    DropReason.DUPLICATE_ANSWER: ("answers", "another answer to the prompt says the same"),
    DropReason.NO_CLAIMS: ("answers", "nothing in it can be checked, so it has no score"),
    DropReason.DECOMPOSER_FAILED: ("answers", "the decomposer gave an error"),
    DropReason.LABELER_FAILED: ("answers", "the labeler gave an error"),
    DropReason.UNDECIDED: ("answers", "the labeler said neither yes nor no to a claim"),
    DropReason.NO_PAIR: ("prompts", "no two answers differ enough in score"),
    DropReason.PAIR_CAP: ("pairs", "over the most pairs that one prompt may give"),
    DropReason.LENGTH_BALANCE: ("pairs", "left out so that chosen answers are not shorter than rejected ones"),
    DropReason.TOO_LONG: ("pairs", "over the trainer's token limit"),
}
"""What each reason counts, and what it means."""


def claim_class(claims: Sequence[ClaimRow]) -> str:
    """CSS classes of a stretch: the labeler's worst verdict and the worst truth of its claims."""
    if not claims:
        return ""
    return f"claim {_verdict_class(claims)} {_truth_class(claims)}"


def claim_title(claims: Sequence[ClaimRow]) -> str:
    """The tooltip of a stretch: each claim with verdict, probability and truth."""
    return "\n".join(f"{claim.text} [{_verdict(claim)}; {_truth(claim)}]" for claim in claims)


def _verdict(claim: ClaimRow) -> str:
    said = {True: "labeler: yes", False: "labeler: no", None: "labeler: neither"}[claim.accepted]
    return f"{said}, p(yes) {claim.p_yes:.2f}"


def _truth(claim: ClaimRow) -> str:
    return {True: "true", False: "false", None: "truth unknown"}[claim.truth]


def _verdict_class(claims: Sequence[ClaimRow]) -> str:
    if any(claim.accepted is False for claim in claims):
        return "said-no"
    return "said-yes" if all(claim.accepted for claim in claims) else "said-neither"


def _truth_class(claims: Sequence[ClaimRow]) -> str:
    if any(claim.truth is False for claim in claims):
        return "is-false"
    return "is-true" if all(claim.truth for claim in claims) else "is-unknown"
