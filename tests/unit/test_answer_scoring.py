"""Whole answers: every distinct question once, verdicts to all claims that ask it, the best answer first."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from rlaifv.adapters.answer_scoring import AnswerScoring
from rlaifv.adapters.fake import decomposer as fake
from rlaifv.adapters.local_decomposer import Divider, LocalDecomposer
from rlaifv.core.answers import PAPER_RULE, ScoredAnswer, ScoringRule, rank
from rlaifv.core.errors import NotFound
from rlaifv.core.images import Image
from rlaifv.core.outcomes import Outcome
from rlaifv.core.scoring import Aggregate
from rlaifv.core.verdicts import Verdict, VerdictRule
from rlaifv.ports.services import Questions

IMAGE = Image.of(b"x")


class Believes:
    """A labeler that says yes to questions with certain words, and notes what it was asked."""

    def __init__(self, *words: str, error: Exception | None = None) -> None:
        self.asked: list[tuple[str, ...]] = []
        self._words = words
        self._error = error

    async def ask(self, items: Sequence[Questions]) -> AsyncIterator[Outcome[tuple[Verdict, ...]]]:
        for item in items:
            if self._error:
                yield Outcome(item_id=item.id, error=self._error)  # type: ignore[arg-type]
                continue
            self.asked.append(item.questions)
            yield Outcome(item_id=item.id, value=tuple(self._verdict(question) for question in item.questions))

    def _verdict(self, question: str) -> Verdict:
        p_yes = 0.8 if any(word in question for word in self._words) else 0.1
        return Verdict(question=question, p_yes=p_yes, p_no=0.9 - p_yes, labeler_version="w")


def scoring(labeler: Believes) -> AnswerScoring:
    divide = Divider(divide=lambda texts: [fake.divide(text) for text in texts], version="d")
    return AnswerScoring(LocalDecomposer(divide), labeler, lambda: "w")


async def test_a_question_that_many_claims_ask_is_asked_once() -> None:
    labeler = Believes("car")
    answers = ["There is a dog. There is a car.", "There is a car.", "There is a dog. There is a cup."]
    ranked = await scoring(labeler).rank(IMAGE, "", answers, PAPER_RULE)
    assert len(labeler.asked) == 1
    assert len(labeler.asked[0]) == len(set(labeler.asked[0])) == 3
    assert [(one.index, one.answer.score) for one in ranked] == [(1, 0.0), (0, -1.0), (2, -2.0)]


async def test_the_rule_of_the_request_is_used() -> None:
    answer = "There is a dog. There is a car."
    rate = await scoring(Believes("car")).score(IMAGE, "", answer, ScoringRule(aggregate=Aggregate.RATE))
    assert rate.score == -0.5
    mass = ScoringRule(verdict=VerdictRule(min_mass=0.95))
    assert (await scoring(Believes("car")).score(IMAGE, "", answer, mass)).score is None


async def test_an_answer_with_nothing_to_check_needs_no_labeler() -> None:
    labeler = Believes()
    scored = await scoring(labeler).score(IMAGE, "", "...", PAPER_RULE)
    assert (scored.score, scored.claims, scored.labeler_version, labeler.asked) == (None, (), "w", [])
    assert scored.signals == ()


async def test_the_labelers_error_is_the_answers() -> None:
    with pytest.raises(NotFound, match="no image"):
        await scoring(Believes(error=NotFound("no image"))).score(IMAGE, "", "There is a car.", PAPER_RULE)


async def test_more_questions_than_one_request_may_hold_go_in_parts() -> None:
    labeler = Believes()
    await scoring(labeler).score(IMAGE, "", " ".join(f"There is a car{n}." for n in range(5000)), PAPER_RULE)
    assert [len(part) for part in labeler.asked] == [4096, 904]


def test_equal_scores_keep_their_order_and_no_score_comes_last() -> None:
    def answer(score: float | None) -> ScoredAnswer:
        return ScoredAnswer(claims=(), score=score)

    ranked = rank([answer(None), answer(-1), answer(0), answer(-1), answer(None)])
    assert [one.index for one in ranked] == [2, 1, 3, 0, 4]
