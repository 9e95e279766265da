"""Figures for people: hallucination, coverage, length and yes/no accuracy against ground truth, with intervals.

Response-level hallucination is the share of answers with at least one false claim; mention-level is the share of false
claims among all claims that the truth can judge (RLAIF-V, sec. 4.1, after Object HalBench).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rlaifv.core.errors import InvalidInput
from rlaifv.core.length_balance import words


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatedAnswer:
    """One greedy answer and the truth of its claims, in the order of the claims; None where the truth cannot tell.

    `coverage` is the share of true objects that the answer names, 0 to 1. `questions` holds, for each yes/no question put to
    the policy about the image, whether it answered rightly.
    """

    prompt_id: str
    text: str
    truths: tuple[bool | None, ...]
    coverage: float
    questions: tuple[bool, ...] = ()

    @property
    def hallucinated(self) -> bool:
        """Whether at least one claim is false."""
        return any(truth is False for truth in self.truths)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Figures over `n` answers. Shares are 0 to 1; the interval is the bootstrap's 95 %."""

    n: int
    response_hallucination: float
    response_hallucination_ci95: tuple[float, float]
    mention_hallucination: float
    coverage: float
    coverage_ci95: tuple[float, float]
    mean_words: float
    mean_words_ci95: tuple[float, float]
    yes_no_accuracy: float | None
    claims: int
    unjudged_claims: int


def evaluate(answers: Sequence[EvaluatedAnswer], seed: int, resamples: int = 2000) -> Evaluation:
    """All figures over the answers; raises InvalidInput if there are none. Deterministic for a seed."""
    if not answers:
        raise InvalidInput("evaluation: there is no answer to evaluate")
    judged = [truth for a in answers for truth in a.truths if truth is not None]
    claims = sum(len(a.truths) for a in answers)
    questions = [right for a in answers for right in a.questions]
    hallucinated = [float(a.hallucinated) for a in answers]
    coverage = [a.coverage for a in answers]
    lengths = [float(words(a.text)) for a in answers]
    return Evaluation(
        n=len(answers),
        response_hallucination=_mean(hallucinated),
        response_hallucination_ci95=bootstrap_ci95(hallucinated, seed, resamples),
        mention_hallucination=judged.count(False) / len(judged) if judged else 0.0,
        coverage=_mean(coverage),
        coverage_ci95=bootstrap_ci95(coverage, seed, resamples),
        mean_words=_mean(lengths),
        mean_words_ci95=bootstrap_ci95(lengths, seed, resamples),
        yes_no_accuracy=_mean([float(right) for right in questions]) if questions else None,
        claims=claims,
        unjudged_claims=claims - len(judged),
    )


def bootstrap_ci95(
    values: Sequence[float],
    seed: int,
    resamples: int = 2000,
    statistic: Callable[[Sequence[float]], float] | None = None,
) -> tuple[float, float]:
    """Percentile bootstrap of `statistic` (default: the mean) over resampled values: the 2.5 % and 97.5 % points."""
    if not values:
        raise InvalidInput("bootstrap: there are no values")
    statistic = statistic or _mean
    chooser = random.Random(seed)
    n = len(values)
    points = sorted(statistic(chooser.choices(values, k=n)) for _ in range(resamples))
    return points[int(0.025 * (resamples - 1))], points[int(0.975 * (resamples - 1) + 0.5)]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
