"""Whole answers from the two ports: divide, ask each distinct question once for the image, judge, score (RLAIF-V, sec. 3.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from rlaifv.core.answers import RankedAnswer, ScoredAnswer, ScoringRule, rank, score_of
from rlaifv.core.decomposition import Decomposition
from rlaifv.core.errors import BackendFailed
from rlaifv.core.images import Image
from rlaifv.core.scoring import judge_claims
from rlaifv.core.verdicts import Verdict
from rlaifv.ports.services import Answer, Decomposer, Labeler, Questions

_QUESTIONS_AT_ONCE: Final = 4096


class AnswerScoring:
    """Scores and ranks answers. `labeler_version` gives what is stamped on answers without a claim: what answers now."""

    def __init__(self, decomposer: Decomposer, labeler: Labeler, labeler_version: Callable[[], str]) -> None:
        self._decomposer = decomposer
        self._labeler = labeler
        self._labeler_version = labeler_version

    async def score(self, image: Image, prompt: str, answer: str, rule: ScoringRule) -> ScoredAnswer:
        """One answer; raises the decomposer's or the labeler's error."""
        (scored,) = await self._score_all(image, prompt, [answer], rule)
        return scored

    async def rank(
        self, image: Image, prompt: str, answers: Sequence[str], rule: ScoringRule
    ) -> tuple[RankedAnswer, ...]:
        """Several answers to one prompt, best first; a claim that several make is asked once."""
        return rank(await self._score_all(image, prompt, answers, rule))

    async def _score_all(
        self, image: Image, prompt: str, answers: Sequence[str], rule: ScoringRule
    ) -> list[ScoredAnswer]:
        divided = await self._divide(prompt, answers)
        questions = tuple(dict.fromkeys(claim.question for found in divided for claim in found.claims))
        verdicts = await self._ask(image, questions)
        return [self._scored(found, verdicts, rule) for found in divided]

    async def _divide(self, prompt: str, answers: Sequence[str]) -> list[Decomposition]:
        found: dict[str, Decomposition] = {}
        items = [Answer(id=str(at), text=text, prompt=prompt) for at, text in enumerate(answers)]
        async for outcome in self._decomposer.decompose(items):
            found[outcome.item_id] = outcome.unwrap()
        if len(found) != len(items):
            raise BackendFailed(f"the decomposer gave {len(found)} outcomes for {len(items)} answers")
        return [found[item.id] for item in items]

    async def _ask(self, image: Image, questions: tuple[str, ...]) -> list[Verdict]:
        items = [Questions(id=str(at), image=image, questions=part) for at, part in enumerate(_parts(questions))]
        verdicts: list[Verdict] = []
        if items:
            async for outcome in self._labeler.ask(items):
                verdicts.extend(outcome.unwrap())
        return verdicts

    def _scored(self, found: Decomposition, verdicts: Sequence[Verdict], rule: ScoringRule) -> ScoredAnswer:
        claims = judge_claims(found.claims, verdicts, rule.verdict)
        return ScoredAnswer(
            claims=claims,
            score=score_of(claims, rule.aggregate),
            labeler_version=claims[0].verdict.labeler_version if claims else self._labeler_version(),
            decomposer_version=found.version,
        )


def _parts(questions: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for at in range(0, len(questions), _QUESTIONS_AT_ONCE):
        yield questions[at : at + _QUESTIONS_AT_ONCE]
