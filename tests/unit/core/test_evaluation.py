"""Figures against hand-computed numbers; the bootstrap against the normal approximation."""

from __future__ import annotations

import math

import pytest

from rlaifv.core.errors import InvalidInput
from rlaifv.core.evaluation import EvaluatedAnswer, bootstrap_ci95, evaluate


def answer(
    *truths: bool | None, coverage: float = 1.0, text: str = "a b", questions: tuple[bool, ...] = ()
) -> EvaluatedAnswer:
    return EvaluatedAnswer(prompt_id="p", text=text, truths=truths, coverage=coverage, questions=questions)


def test_figures_by_hand() -> None:
    figures = evaluate(
        [
            answer(True, False, coverage=0.5, text="one two three", questions=(True, False)),
            answer(True, True, None, coverage=1.0, text="one", questions=(True, True)),
            answer(False, False, coverage=0.0, text=""),
            answer(coverage=0.5, text="four words in all"),
        ],
        seed=0,
    )
    assert figures.n == 4
    assert figures.response_hallucination == 0.5
    assert figures.mention_hallucination == 3 / 6
    assert figures.coverage == 0.5
    assert figures.mean_words == 2.0
    assert figures.yes_no_accuracy == 0.75
    assert (figures.claims, figures.unjudged_claims) == (7, 1)


def test_an_answer_without_false_claims_does_not_hallucinate() -> None:
    assert not answer(True, None).hallucinated
    assert not answer().hallucinated
    assert answer(None, False).hallucinated


def test_nothing_to_evaluate_is_an_error() -> None:
    with pytest.raises(InvalidInput, match="no answer"):
        evaluate([], seed=0)
    with pytest.raises(InvalidInput, match="no values"):
        bootstrap_ci95([], seed=0)


def test_no_questions_is_not_an_accuracy_of_zero() -> None:
    assert evaluate([answer(True)], seed=0).yes_no_accuracy is None


def test_the_interval_is_the_normal_one_for_a_share_of_many() -> None:
    values = [1.0] * 200 + [0.0] * 300
    low, high = bootstrap_ci95(values, seed=1, resamples=4000)
    half = 1.96 * math.sqrt(0.4 * 0.6 / 500)
    assert low == pytest.approx(0.4 - half, abs=0.006)
    assert high == pytest.approx(0.4 + half, abs=0.006)


def test_the_interval_is_seeded_and_degenerate_where_all_is_equal() -> None:
    values = [0.0, 1.0, 1.0, 0.5]
    assert bootstrap_ci95(values, seed=3) == bootstrap_ci95(values, seed=3)
    assert bootstrap_ci95([0.25] * 10, seed=0) == (0.25, 0.25)
