"""The labeler's RPCs: convert, call the port or the scoring of whole answers, convert."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from rlaifv.adapters.answer_scoring import AnswerScoring
from rlaifv.api.v1 import labeler_pb2 as pb
from rlaifv.api.v1.labeler_pb2_grpc import LabelerServiceServicer
from rlaifv.core.answers import ScoredAnswer
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.errors import InvalidInput
from rlaifv.core.verdicts import PROMPT_VERSION
from rlaifv.ports.services import Labeler
from rlaifv.rpc.convert import verdicts as convert
from rlaifv.rpc.convert.candidates import checkpoint_to_proto, image_from_proto
from rlaifv.rpc.convert.claims import checked_answer
from rlaifv.rpc.metrics import CallMetrics, LabelerMetrics
from rlaifv.rpc.streams import ItemStream, only


class LabelerServicer(LabelerServiceServicer):
    """Serves `labeler`, whose weights at the time `checkpoint` gives, and `scoring`, which stands on it."""

    def __init__(
        self,
        labeler: Labeler,
        scoring: AnswerScoring,
        checkpoint: Callable[[], Checkpoint],
        decomposer_version: Callable[[], Awaitable[str]],
        calls: CallMetrics,
        metrics: LabelerMetrics,
        *,
        max_in_flight: int,
        max_image_bytes: int,
        max_answer_bytes: int,
    ) -> None:
        self._labeler = labeler
        self._scoring = scoring
        self._metrics = metrics
        self._max_image_bytes = max_image_bytes
        self._max_answer_bytes = max_answer_bytes
        self._checkpoint = checkpoint
        self._decomposer_version = decomposer_version
        self._questions = ItemStream(
            method="AskQuestions",
            handle=self._ask,
            failed=lambda item_id, status: pb.AskQuestionsResponse(item_id=item_id, status=status),
            max_in_flight=max_in_flight,
            metrics=calls,
        )
        self._scores = ItemStream(
            method="ScoreAnswers",
            handle=self._score,
            failed=lambda item_id, status: pb.ScoreAnswersResponse(item_id=item_id, status=status),
            max_in_flight=max_in_flight,
            metrics=calls,
        )

    def AskQuestions(self, request_iterator: Any, context: Any) -> AsyncIterator[pb.AskQuestionsResponse]:
        return self._questions.serve(request_iterator)

    def ScoreAnswers(self, request_iterator: Any, context: Any) -> AsyncIterator[pb.ScoreAnswersResponse]:
        return self._scores.serve(request_iterator)

    async def RankAnswers(self, request: pb.RankAnswersRequest, context: Any) -> pb.RankAnswersResponse:
        if not 2 <= len(request.answers) <= convert.MAX_RANKED:
            shown = f"{len(request.answers)} answers"
            raise InvalidInput.field("answers", shown, f"give 2 to {convert.MAX_RANKED} of them")
        image = image_from_proto(request.image, self._max_image_bytes)
        answers = [checked_answer(answer, self._max_answer_bytes) for answer in request.answers]
        ranking = await self._scoring.rank(image, request.prompt, answers, convert.rule_from_proto(request.rule))
        for ranked in ranking:
            self._count(ranked.answer)
        return convert.ranking_to_response(ranking)

    async def GetLabeler(self, request: pb.GetLabelerRequest, context: Any) -> pb.GetLabelerResponse:
        return pb.GetLabelerResponse(
            checkpoint=checkpoint_to_proto(self._checkpoint()),
            prompt_version=PROMPT_VERSION,
            decomposer_version=await self._decomposer_version(),
        )

    async def _ask(self, request: pb.AskQuestionsRequest) -> pb.AskQuestionsResponse:
        verdicts = await only(self._labeler.ask([convert.questions_from_proto(request, self._max_image_bytes)]))
        self._metrics.verdicts.inc(len(verdicts))
        return convert.verdicts_to_response(request.item_id, verdicts)

    async def _score(self, request: pb.ScoreAnswersRequest) -> pb.ScoreAnswersResponse:
        image = image_from_proto(request.image, self._max_image_bytes)
        answer = checked_answer(request.answer, self._max_answer_bytes)
        scored = await self._scoring.score(image, request.prompt, answer, convert.rule_from_proto(request.rule))
        self._count(scored)
        return convert.scored_to_response(request.item_id, scored)

    def _count(self, scored: ScoredAnswer) -> None:
        self._metrics.scored.labels("no_score" if scored.score is None else "scored").inc()
        for judged in scored.claims:
            self._metrics.judged.labels(judged.decision.value).inc()
