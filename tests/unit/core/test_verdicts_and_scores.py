"""The paper's verdict rule and score, against hand-computed numbers and properties."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rlaifv.core.claims import Claim, ClaimType
from rlaifv.core.errors import InvalidInput
from rlaifv.core.scoring import Aggregate, judge_claims, response_score
from rlaifv.core.verdicts import Decision, TieRule, Verdict, VerdictRule

A, R, U = Decision.ACCEPTED, Decision.REJECTED, Decision.UNDECIDED
probabilities = st.floats(0.0, 0.5, allow_nan=False)


def verdict(p_yes: float, p_no: float, question: str = "Is there a car?") -> Verdict:
    return Verdict(question=question, p_yes=p_yes, p_no=p_no)


@pytest.mark.parametrize(
    ("p_yes", "p_no", "expected"),
    [(0.6, 0.3, A), (0.3, 0.6, R), (0.4, 0.4, R), (0.0, 0.0, R), (1e-6, 2e-6, R), (2e-6, 1e-6, A), (1.0, 0.0, A)],
)
def test_paper_rule_accepts_only_where_yes_is_strictly_likelier(p_yes: float, p_no: float, expected: Decision) -> None:
    assert VerdictRule().decide(verdict(p_yes, p_no)) is expected


@given(probabilities, probabilities)
@example(5e-324, 0.0)
def test_paper_rule_is_exactly_the_comparison(p_yes: float, p_no: float) -> None:
    assert (VerdictRule().decide(verdict(p_yes, p_no)) is A) == (p_yes > p_no)


def test_tie_rule_threshold_and_mass() -> None:
    assert VerdictRule(tie=TieRule.ACCEPT).decide(verdict(0.4, 0.4)) is A
    assert VerdictRule(threshold=0.8).decide(verdict(0.7, 0.3)) is R
    assert VerdictRule(threshold=0.8).decide(verdict(0.9, 0.1)) is A
    assert VerdictRule(min_mass=0.5).decide(verdict(0.3, 0.1)) is U
    assert VerdictRule(min_mass=0.4).decide(verdict(0.3, 0.1)) is A


@pytest.mark.parametrize("threshold", [0.0, 1.0, -1.0, 2.0])
def test_bad_threshold_names_field_and_value(threshold: float) -> None:
    with pytest.raises(InvalidInput, match=r"verdict_rule\.threshold = .*must be between"):
        VerdictRule(threshold=threshold)


@pytest.mark.parametrize("p", [float("nan"), float("inf"), -0.1, 1.1])
def test_a_verdict_is_a_probability(p: float) -> None:
    with pytest.raises(InvalidInput, match="p_yes"):
        verdict(p, 0.1)


@pytest.mark.parametrize(
    ("decisions", "count", "rate"),
    [
        ([A], 0.0, 0.0),
        ([R], -1.0, -1.0),
        ([A, R, R, A], -2.0, -0.5),
        ([R, U], -1.0, -1.0),
        ([A, A, R, U], -1.0, -1 / 3),
    ],
)
def test_score_is_minus_the_rejected(decisions: list[Decision], count: float, rate: float) -> None:
    assert response_score(decisions) == count
    assert response_score(decisions, Aggregate.RATE) == pytest.approx(rate)


@pytest.mark.parametrize("decisions", [[], [U], [U, U]])
def test_nothing_decided_has_no_score(decisions: list[Decision]) -> None:
    with pytest.raises(InvalidInput, match="no score"):
        response_score(decisions)


@given(st.lists(st.sampled_from([A, R]), min_size=1))
def test_one_more_rejection_never_raises_the_score(decisions: list[Decision]) -> None:
    assert response_score([*decisions, R]) == response_score(decisions) - 1
    assert response_score([*decisions, A]) == response_score(decisions)


def test_one_verdict_serves_every_claim_that_asks_the_same() -> None:
    """Reference fault 6: a repeated question used to drop the whole answer."""
    claims = [
        Claim(text="There is a car.", type=ClaimType.OBJECT, question="Is there a car?", start=0, end=3),
        Claim(text="There is a car.", type=ClaimType.OBJECT, question="Is there a car?", start=9, end=12),
    ]
    judged = judge_claims(claims, [verdict(0.9, 0.1)], VerdictRule())
    assert [j.decision for j in judged] == [A, A]


def test_a_claim_without_verdict_is_named() -> None:
    claim = Claim(text="There is a dog.", type=ClaimType.OBJECT, question="Is there a dog?", start=0, end=3)
    with pytest.raises(InvalidInput, match=r"Is there a dog\?"):
        judge_claims([claim], [verdict(0.9, 0.1)], VerdictRule())
