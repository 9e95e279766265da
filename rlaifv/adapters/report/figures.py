"""Computes every figure again from the evaluated answers, apart from the code that wrote summary.json.

`core.evaluation` made the stated figures; this is a second way to them (numpy, its own bootstrap), so that a mistake in
either shows. Points must agree; intervals are random, so they may differ by a share of their width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rlaifv.adapters.report.run_files import AnswerRow

RESAMPLES = 2000
Interval = tuple[float, float]

_POINTS = (
    "n",
    "response_hallucination",
    "mention_hallucination",
    "coverage",
    "mean_words",
    "yes_no_accuracy",
    "claims",
)
_INTERVALS = ("response_hallucination_ci95", "coverage_ci95", "mean_words_ci95")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Figures over `n` answers; shares are 0 to 1, intervals are 95 % (bootstrap over answers)."""

    n: int
    response_hallucination: float
    response_hallucination_ci95: Interval
    mention_hallucination: float
    mention_hallucination_ci95: Interval
    coverage: float
    coverage_ci95: Interval
    mean_words: float
    mean_words_ci95: Interval
    yes_no_accuracy: float | None
    yes_no_accuracy_ci95: Interval | None
    claims: int
    unjudged_claims: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """summary.json says `stated`, the evaluated answers give `recomputed`."""

    figure: str
    stated: object
    recomputed: object


def recompute(answers: Sequence[AnswerRow], seed: int = 0) -> Figures | None:
    """All figures from claims, truths, texts and yes/no answers; None without answers."""
    if not answers:
        return None
    false = np.array([a.false_claims for a in answers], dtype=float)
    judged = np.array([sum(c.truth is not None for c in a.claims) for a in answers], dtype=float)
    right = np.array([sum(a.questions) for a in answers], dtype=float)
    asked = np.array([len(a.questions) for a in answers], dtype=float)
    words = np.array([len(a.answer.split()) for a in answers], dtype=float)
    coverage = np.array([a.coverage for a in answers])
    ones = np.ones(len(answers))
    draws = np.random.default_rng(seed).integers(0, len(answers), size=(RESAMPLES, len(answers)))
    claims = sum(len(a.claims) for a in answers)
    return Figures(
        n=len(answers),
        response_hallucination=_ratio(false > 0, ones),
        response_hallucination_ci95=_interval(false > 0, ones, draws),
        mention_hallucination=_ratio(false, judged),
        mention_hallucination_ci95=_interval(false, judged, draws),
        coverage=_ratio(coverage, ones),
        coverage_ci95=_interval(coverage, ones, draws),
        mean_words=_ratio(words, ones),
        mean_words_ci95=_interval(words, ones, draws),
        yes_no_accuracy=_ratio(right, asked) if asked.sum() else None,
        yes_no_accuracy_ci95=_interval(right, asked, draws) if asked.sum() else None,
        claims=claims,
        unjudged_claims=claims - int(judged.sum()),
    )


def disagreements(stated: Mapping[str, Any], recomputed: Figures) -> list[Disagreement]:
    """Where the stated figures and the recomputed ones differ; figures that were not stated are passed over."""
    found = []
    for name in _POINTS:
        if name in stated and not _same(stated[name], getattr(recomputed, name)):
            found.append(Disagreement(figure=name, stated=stated[name], recomputed=getattr(recomputed, name)))
    for name in _INTERVALS:
        again = getattr(recomputed, name)
        if name in stated and not _near(stated[name], again):
            found.append(Disagreement(figure=name, stated=tuple(stated[name]), recomputed=again))
    return found


def _same(stated: object, again: object) -> bool:
    if isinstance(stated, int | float) and isinstance(again, int | float):
        return math.isclose(stated, again, rel_tol=1e-6, abs_tol=1e-6)
    return stated == again


def _near(stated: Sequence[float], again: Interval) -> bool:
    slack = max(0.25 * (again[1] - again[0]), 1e-6)
    return len(stated) == 2 and all(abs(s - a) <= slack for s, a in zip(stated, again, strict=True))


def _ratio(top: npt.ArrayLike, bottom: npt.NDArray[np.float64]) -> float:
    total = float(bottom.sum())
    return float(np.asarray(top, dtype=float).sum()) / total if total else 0.0


def _interval(top: npt.ArrayLike, bottom: npt.NDArray[np.float64], draws: npt.NDArray[np.int64]) -> Interval:
    tops, bottoms = np.asarray(top, dtype=float)[draws].sum(axis=1), bottom[draws].sum(axis=1)
    shares = tops / np.where(bottoms > 0, bottoms, 1.0)
    low, high = np.percentile(shares, [2.5, 97.5])
    return float(low), float(high)
