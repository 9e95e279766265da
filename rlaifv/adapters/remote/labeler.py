"""The Labeler port over gRPC, and the scoring of whole answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from rlaifv.adapters.remote.connection import Connection
from rlaifv.adapters.remote.item_calls import ItemCalls
from rlaifv.api.v1 import labeler_pb2 as pb
from rlaifv.api.v1.labeler_pb2_grpc import LabelerServiceStub
from rlaifv.core.answers import PAPER_RULE, RankedAnswer, ScoredAnswer, ScoringRule
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.images import Image
from rlaifv.core.outcomes import Outcome
from rlaifv.core.verdicts import Verdict
from rlaifv.ports.services import Questions
from rlaifv.rpc.convert import verdicts as convert
from rlaifv.rpc.convert.candidates import checkpoint_from_proto


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerToScore:
    """An answer about an image; `id` comes back on the outcome."""

    id: str
    image: Image
    answer: str
    prompt: str = ""
    rule: ScoringRule = PAPER_RULE


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelerVersions:
    """What judges: weights, wording of the questions, decomposer."""

    checkpoint: Checkpoint
    prompt_version: str
    decomposer_version: str


class RemoteLabeler:
    """A labeler service at `target` ("host:port").

    One that asks to come again (full, starting, draining) is asked again for `patience_s`; one that cannot be reached for
    `away_s`, which is the same unless given.
    """

    def __init__(
        self,
        target: str,
        *,
        patience_s: float = 120.0,
        away_s: float | None = None,
        timeout_s: float = 120.0,
        stall_s: float = 600.0,
        window: int = 64,
    ) -> None:
        self._connection = Connection("labeler", target, patience_s=patience_s, timeout_s=timeout_s, away_s=away_s)
        self._questions: ItemCalls[Questions, pb.AskQuestionsResponse, tuple[Verdict, ...]] = ItemCalls(
            connection=self._connection,
            method=lambda channel: LabelerServiceStub(channel).AskQuestions,
            item_id=lambda item: item.id,
            write=convert.questions_to_proto,
            read=convert.verdicts_from_response,
            window=window,
            stall_s=stall_s,
        )
        self._scores: ItemCalls[AnswerToScore, pb.ScoreAnswersResponse, ScoredAnswer] = ItemCalls(
            connection=self._connection,
            method=lambda channel: LabelerServiceStub(channel).ScoreAnswers,
            item_id=lambda item: item.id,
            write=lambda item: convert.score_to_request(item.id, item.image, item.prompt, item.answer, item.rule),
            read=convert.scored_from_response,
            window=window,
            stall_s=stall_s,
        )

    def ask(self, items: Sequence[Questions]) -> AsyncIterator[Outcome[tuple[Verdict, ...]]]:
        return self._questions.outcomes(items)

    def score(self, items: Sequence[AnswerToScore]) -> AsyncIterator[Outcome[ScoredAnswer]]:
        """One outcome an answer (`item_id` = its id), as they come."""
        return self._scores.outcomes(items)

    async def rank(
        self, image: Image, prompt: str, answers: Sequence[str], rule: ScoringRule
    ) -> tuple[RankedAnswer, ...]:
        """Answers to one prompt, best first."""
        request = convert.rank_to_request(image, prompt, answers, rule)
        response = await self._connection.call(
            lambda: LabelerServiceStub(self._connection.channel).RankAnswers, request
        )
        return convert.ranking_from_response(response)

    async def versions(self) -> LabelerVersions:
        """What judges now."""
        response = await self._connection.call(
            lambda: LabelerServiceStub(self._connection.channel).GetLabeler, pb.GetLabelerRequest()
        )
        return LabelerVersions(
            checkpoint=checkpoint_from_proto(response.checkpoint),
            prompt_version=response.prompt_version,
            decomposer_version=response.decomposer_version,
        )

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()
