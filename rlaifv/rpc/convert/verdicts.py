"""Questions, verdicts, rules and scored answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rlaifv.api.v1 import labeler_pb2, records_pb2
from rlaifv.core.answers import RankedAnswer, ScoredAnswer, ScoringRule
from rlaifv.core.errors import InvalidInput
from rlaifv.core.images import Image
from rlaifv.core.scoring import Aggregate, JudgedClaim
from rlaifv.core.signals import Signal
from rlaifv.core.verdicts import Decision, TieRule, Verdict, VerdictRule
from rlaifv.ports.services import Questions
from rlaifv.rpc.convert.candidates import image_from_proto, image_to_proto
from rlaifv.rpc.convert.claims import claim_from_proto, claim_to_proto
from rlaifv.rpc.convert.values import enum_from_proto, enum_to_proto, text_to_proto

MAX_QUESTIONS = 4096
MAX_QUESTION_CHARACTERS = 4096
MAX_RANKED = 256


def questions_to_proto(item: Questions) -> labeler_pb2.AskQuestionsRequest:
    return labeler_pb2.AskQuestionsRequest(
        item_id=text_to_proto("questions.id", item.id),
        image=image_to_proto(item.image),
        questions=[text_to_proto("questions", question) for question in item.questions],
    )


def questions_from_proto(request: labeler_pb2.AskQuestionsRequest, max_image_bytes: int) -> Questions:
    if not 1 <= len(request.questions) <= MAX_QUESTIONS:
        raise InvalidInput.field(
            "questions", f"{len(request.questions)} questions", f"give 1 to {MAX_QUESTIONS} of them"
        )
    for at, question in enumerate(request.questions):
        if not question.strip():
            raise InvalidInput.field(f"questions[{at}]", question, "is empty: ask something")
        if len(question) > MAX_QUESTION_CHARACTERS:
            raise InvalidInput.field(
                f"questions[{at}]", question, f"is over {MAX_QUESTION_CHARACTERS} characters: shorten it"
            )
    image = image_from_proto(request.image, max_image_bytes)
    return Questions(id=request.item_id, image=image, questions=tuple(request.questions))


def verdict_to_proto(verdict: Verdict) -> records_pb2.Verdict:
    return records_pb2.Verdict(
        question=verdict.question,
        p_yes=verdict.p_yes,
        p_no=verdict.p_no,
        mass=verdict.mass,
        labeler_version=verdict.labeler_version,
    )


def verdict_from_proto(verdict: records_pb2.Verdict) -> Verdict:
    return Verdict(
        question=verdict.question, p_yes=verdict.p_yes, p_no=verdict.p_no, labeler_version=verdict.labeler_version
    )


def verdicts_to_response(item_id: str, verdicts: Iterable[Verdict]) -> labeler_pb2.AskQuestionsResponse:
    return labeler_pb2.AskQuestionsResponse(
        item_id=item_id, status=records_pb2.ItemStatus(), verdicts=[verdict_to_proto(verdict) for verdict in verdicts]
    )


def verdicts_from_response(response: labeler_pb2.AskQuestionsResponse) -> tuple[Verdict, ...]:
    return tuple(verdict_from_proto(verdict) for verdict in response.verdicts)


def rule_to_proto(rule: ScoringRule) -> records_pb2.ScoringRule:
    return records_pb2.ScoringRule(
        threshold=rule.verdict.threshold,
        tie=enum_to_proto(records_pb2.TieRule, "TIE_RULE", rule.verdict.tie),
        min_mass=rule.verdict.min_mass,
        aggregate=enum_to_proto(records_pb2.Aggregate, "AGGREGATE", rule.aggregate),
    )


def rule_from_proto(rule: records_pb2.ScoringRule) -> ScoringRule:
    """The rule; absent fields take the paper's values."""
    paper = VerdictRule()
    return ScoringRule(
        verdict=VerdictRule(
            threshold=rule.threshold if rule.HasField("threshold") else paper.threshold,
            tie=enum_from_proto(records_pb2.TieRule, "TIE_RULE", rule.tie, TieRule, paper.tie),
            min_mass=rule.min_mass if rule.HasField("min_mass") else paper.min_mass,
        ),
        aggregate=enum_from_proto(records_pb2.Aggregate, "AGGREGATE", rule.aggregate, Aggregate, Aggregate.COUNT),
    )


def judged_to_proto(judged: JudgedClaim) -> records_pb2.JudgedClaim:
    return records_pb2.JudgedClaim(
        claim=claim_to_proto(judged.claim),
        verdict=verdict_to_proto(judged.verdict),
        decision=enum_to_proto(records_pb2.Decision, "DECISION", judged.decision),
    )


def judged_from_proto(judged: records_pb2.JudgedClaim) -> JudgedClaim:
    return JudgedClaim(
        claim=claim_from_proto(judged.claim),
        verdict=verdict_from_proto(judged.verdict),
        decision=enum_from_proto(records_pb2.Decision, "DECISION", judged.decision, Decision),
    )


def signal_to_proto(signal: Signal) -> records_pb2.Signal:
    return records_pb2.Signal(
        name=signal.name,
        scope=enum_to_proto(records_pb2.SignalScope, "SIGNAL_SCOPE", signal.scope),
        value=signal.value,
        confidence=signal.confidence,
        provider=signal.provider,
        version=signal.version,
        start=signal.start,
        end=signal.end,
    )


def score_to_request(
    item_id: str, image: Image, prompt: str, answer: str, rule: ScoringRule
) -> labeler_pb2.ScoreAnswersRequest:
    return labeler_pb2.ScoreAnswersRequest(
        item_id=item_id,
        image=image_to_proto(image),
        prompt=text_to_proto("prompt", prompt),
        answer=text_to_proto("answer", answer),
        rule=rule_to_proto(rule),
    )


def scored_to_response(item_id: str, answer: ScoredAnswer) -> labeler_pb2.ScoreAnswersResponse:
    return labeler_pb2.ScoreAnswersResponse(
        item_id=item_id,
        status=records_pb2.ItemStatus(),
        claims=[judged_to_proto(judged) for judged in answer.claims],
        score=answer.score,
        signals=[signal_to_proto(signal) for signal in answer.signals],
        labeler_version=answer.labeler_version,
        decomposer_version=answer.decomposer_version,
    )


def scored_from_response(response: labeler_pb2.ScoreAnswersResponse) -> ScoredAnswer:
    return ScoredAnswer(
        claims=tuple(judged_from_proto(judged) for judged in response.claims),
        score=response.score if response.HasField("score") else None,
        labeler_version=response.labeler_version,
        decomposer_version=response.decomposer_version,
    )


def rank_to_request(
    image: Image, prompt: str, answers: Sequence[str], rule: ScoringRule
) -> labeler_pb2.RankAnswersRequest:
    return labeler_pb2.RankAnswersRequest(
        image=image_to_proto(image),
        prompt=text_to_proto("prompt", prompt),
        answers=[text_to_proto(f"answers[{at}]", answer) for at, answer in enumerate(answers)],
        rule=rule_to_proto(rule),
    )


def ranking_to_response(ranking: Iterable[RankedAnswer]) -> labeler_pb2.RankAnswersResponse:
    return labeler_pb2.RankAnswersResponse(
        ranking=[
            labeler_pb2.RankedAnswer(
                index=ranked.index,
                score=ranked.answer.score,
                claims=[judged_to_proto(judged) for judged in ranked.answer.claims],
            )
            for ranked in ranking
        ]
    )


def ranking_from_response(response: labeler_pb2.RankAnswersResponse) -> tuple[RankedAnswer, ...]:
    return tuple(
        RankedAnswer(
            index=ranked.index,
            answer=ScoredAnswer(
                claims=tuple(judged_from_proto(judged) for judged in ranked.claims),
                score=ranked.score if ranked.HasField("score") else None,
            ),
        )
        for ranked in response.ranking
    )
