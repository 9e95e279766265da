"""The report's second computation of the figures against the first, and against figures worked out by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rlaifv.adapters.report.figures import disagreements, recompute
from rlaifv.adapters.report.run_files import AnswerRow, ClaimRow, read_run
from rlaifv.core.errors import DataLoss, InvalidInput, NotFound
from rlaifv.core.evaluation import EvaluatedAnswer, evaluate
from tests.unit.report.example_run import Example, write_example


def claim(truth: bool | None, accepted: bool | None = True, p_yes: float = 0.9, kind: str = "object") -> ClaimRow:
    return ClaimRow(
        text="A car.",
        type=kind,
        question="?",
        start=0,
        end=3,
        p_yes=p_yes,
        p_no=1 - p_yes,
        accepted=accepted,
        truth=truth,
    )


def answer(*truths: bool | None, text: str = "a b c", coverage: float = 1.0, right: tuple[bool, ...] = ()) -> AnswerRow:
    return AnswerRow(
        row=0, prompt_id="p", prompt="", answer=text, policy_version="v", scene="", coverage=coverage,
        claims=tuple(claim(truth) for truth in truths), questions=right,
    )  # fmt: skip


def test_figures_worked_out_by_hand() -> None:
    answers = [answer(True, False, None, right=(True, False)), answer(True, text="a b c d e", coverage=0.5)]
    figures = recompute(answers)
    assert figures is not None
    assert (figures.n, figures.claims, figures.unjudged_claims) == (2, 4, 1)
    assert figures.response_hallucination == 0.5
    assert figures.mention_hallucination == pytest.approx(1 / 3)
    assert figures.coverage == 0.75
    assert figures.mean_words == 4.0
    assert figures.yes_no_accuracy == 0.5


def test_no_answers_no_figures_and_no_questions_no_accuracy() -> None:
    assert recompute([]) is None
    figures = recompute([answer()])
    assert figures is not None
    assert figures.yes_no_accuracy is None
    assert figures.mention_hallucination == 0.0


def test_both_computations_agree_on_a_run(tmp_path: Path) -> None:
    for round_ in read_run(write_example(tmp_path, Example(answers=80))).rounds:
        figures = recompute(round_.answers, seed=1)
        stated = evaluate(
            [
                EvaluatedAnswer(
                    prompt_id=a.prompt_id,
                    text=a.answer,
                    truths=tuple(c.truth for c in a.claims),
                    coverage=a.coverage,
                    questions=a.questions,
                )
                for a in round_.answers
            ],
            seed=2,
        )
        assert figures is not None
        for name in (
            "n",
            "response_hallucination",
            "mention_hallucination",
            "coverage",
            "mean_words",
            "yes_no_accuracy",
        ):
            assert getattr(figures, name) == pytest.approx(getattr(stated, name)), name
        for name in ("response_hallucination_ci95", "coverage_ci95", "mean_words_ci95"):
            assert getattr(figures, name) == pytest.approx(getattr(stated, name), abs=0.03), name
        assert round_.stated is not None
        assert disagreements(round_.stated["eval"], figures) == []


def test_a_changed_summary_is_noticed() -> None:
    figures = recompute([answer(True, False), answer(True)])
    assert figures is not None
    wrong = {"response_hallucination": 0.4, "coverage": 1.0, "coverage_ci95": [0.2, 0.3], "n": 2}
    assert [found.figure for found in disagreements(wrong, figures)] == ["response_hallucination", "coverage_ci95"]


def test_a_run_folder_is_read_while_it_goes_on(tmp_path: Path) -> None:
    folder = write_example(tmp_path, Example(answers=3))
    (folder / "summary.json").unlink()
    timeline = folder / "timeline.jsonl"
    timeline.write_text(timeline.read_text() + '{"iteration": 1, "sta')
    run = read_run(folder)
    assert not run.finished
    assert [round_.index for round_ in run.rounds] == [0, 1, 2, 3, 4]
    assert run.timeline


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no such run folder"):
        read_run(tmp_path / "absent")
    with pytest.raises(InvalidInput, match=r"neither run\.yaml nor summary\.json"):
        read_run(tmp_path)
    folder = write_example(tmp_path, Example(answers=3))
    (folder / "iterations" / "1" / "evaluation.parquet").write_bytes(b"PAR1 cut off")
    with pytest.raises(DataLoss, match=r"evaluation\.parquet"):
        read_run(folder)
    (folder / "summary.json").write_text(json.dumps([]))
    with pytest.raises(DataLoss, match=r"summary\.json"):
        read_run(folder)


def test_share_of_a_claim_without_mass() -> None:
    assert replace(claim(True), p_yes=0.0, p_no=0.0).share is None
    assert claim(True, p_yes=0.75).share == pytest.approx(0.75)
