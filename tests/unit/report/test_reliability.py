"""Reliability bins and verdict accuracy against hand counts; segments; times that overlap."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaifv.adapters.report.plots_time import overlap_share
from rlaifv.adapters.report.reliability import accuracy_by_type, judged_claims, reliability_bins
from rlaifv.adapters.report.run_files import StageSpan, read_run
from rlaifv.adapters.report.segments import segments
from tests.unit.report.example_run import Example, write_example
from tests.unit.report.test_figures import claim


def test_bins_hold_mean_share_truth_and_count() -> None:
    claims = [claim(False, p_yes=0.02), claim(True, p_yes=0.06), claim(True, p_yes=0.95), claim(True, p_yes=1.0)]
    low, high = reliability_bins(claims)
    assert (low.mean_share, low.true_share, low.count) == (pytest.approx(0.04), 0.5, 2)
    assert (high.mean_share, high.true_share, high.count) == (pytest.approx(0.975), 1.0, 2)


def test_balanced_accuracy_is_the_mean_of_both_recalls() -> None:
    claims = [claim(True, True), claim(True, True), claim(True, False), claim(False, False), claim(False, None)]
    claims += [claim(True, True, kind="count")]
    by_type = {row.type: row for row in accuracy_by_type(claims)}
    assert by_type["object"].accepted_of_true == pytest.approx(2 / 3)
    assert by_type["object"].rejected_of_false == 1.0
    assert by_type["object"].balanced == pytest.approx(5 / 6)
    assert by_type["count"].balanced is None
    assert list(by_type) == ["object", "count", "all"]
    assert accuracy_by_type([]) == []


def test_answers_of_one_policy_count_once(tmp_path: Path) -> None:
    run = read_run(write_example(tmp_path, Example(answers=5)))
    once = len(judged_claims(run))
    repeated = run.rounds[-1]
    doubled = type(run)(**{**{f: getattr(run, f) for f in run.__slots__}, "rounds": (*run.rounds, repeated)})
    assert len(judged_claims(doubled)) == once


@dataclass(frozen=True)
class Span:
    start: int
    end: int


def test_innermost_claims_colour_a_stretch() -> None:
    car, red = Span(2, 9), Span(2, 5)
    parts = segments("a red car.", [car, red])
    assert [(part.text, part.claims) for part in parts] == [("a ", ()), ("red", (red,)), (" car", (car,)), (".", ())]


def test_a_claim_wholly_under_others_is_not_hidden() -> None:
    outer, left, right = Span(0, 4), Span(0, 2), Span(2, 4)
    parts = segments("abcd", [outer, left, right])
    assert [set(part.claims) for part in parts] == [{left, outer}, {right, outer}]


@given(st.text(max_size=30), st.lists(st.tuples(st.integers(-3, 35), st.integers(-3, 35)), max_size=6))
def test_segments_join_to_the_answer_and_hide_no_claim(answer: str, spans: list[tuple[int, int]]) -> None:
    claims = [Span(min(a, b), max(a, b)) for a, b in spans]
    parts = segments(answer, claims)
    assert "".join(part.text for part in parts) == answer
    shown = {claim for part in parts for claim in part.claims}
    inside = {claim for claim in claims if 0 <= claim.start < claim.end <= len(answer)}
    assert inside <= shown


def test_overlap_of_stages() -> None:
    def span(stage: str, start: float, end: float) -> StageSpan:
        return StageSpan(iteration=1, stage=stage, start_s=start, end_s=end)

    assert overlap_share([span("generate", 0, 10), span("score", 5, 15)]) == pytest.approx(1 / 3)
    assert overlap_share([span("generate", 0, 10), span("generate", 5, 15)]) == 0.0
    assert overlap_share([]) == 0.0
