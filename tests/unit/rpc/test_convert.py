"""What goes over the wire comes back the same; what cannot be sent or understood is refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaifv.api.v1 import decomposer_pb2, labeler_pb2, policy_pb2, records_pb2, trainer_pb2
from rlaifv.core.answers import PAPER_RULE, RankedAnswer, ScoredAnswer, ScoringRule
from rlaifv.core.candidates import Candidate, FinishReason, Prompt, Sampling
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.claims import Claim, ClaimType
from rlaifv.core.decomposition import Decomposition, LeftOutClaims, LeftOutReason, SkippedText, SkipReason
from rlaifv.core.errors import Conflict, InvalidInput, TooLarge
from rlaifv.core.images import Image
from rlaifv.core.scoring import Aggregate, JudgedClaim
from rlaifv.core.signals import SignalScope
from rlaifv.core.training import Hyperparameters, Lora, Precision, TrainingJob, TrainingPhase, TrainingProgress
from rlaifv.core.verdicts import Decision, TieRule, Verdict, VerdictRule
from rlaifv.ports.services import Answer, Generation, Questions
from rlaifv.rpc.convert import candidates, claims, training, values, verdicts

LIMIT = 1000

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
counts = st.integers(0, 2**31)
shares = st.floats(0, 0.5)
single = st.floats(allow_nan=False, width=32)
images = st.builds(Image.of, st.binary(min_size=1, max_size=30)) | st.builds(
    Image, uri=st.just("file:///a b.png"), sha256=st.sampled_from(["", "0" * 64])
)
built_claims = st.builds(Claim, text=texts, type=st.sampled_from(ClaimType), question=texts, start=counts, end=counts)
built_verdicts = st.builds(Verdict, question=texts, p_yes=shares, p_no=shares, labeler_version=texts)
judged = st.builds(JudgedClaim, claim=built_claims, verdict=built_verdicts, decision=st.sampled_from(Decision))
scores = st.none() | st.floats(-100, 0)

WIRE_ENUMS: list[tuple[Any, str, Any]] = [
    (records_pb2.ClaimType, "CLAIM_TYPE", ClaimType),
    (records_pb2.Decision, "DECISION", Decision),
    (records_pb2.TieRule, "TIE_RULE", TieRule),
    (records_pb2.Aggregate, "AGGREGATE", Aggregate),
    (records_pb2.FinishReason, "FINISH_REASON", FinishReason),
    (records_pb2.SignalScope, "SIGNAL_SCOPE", SignalScope),
    (decomposer_pb2.SkipReason, "SKIP_REASON", SkipReason),
    (decomposer_pb2.LeftOutReason, "LEFT_OUT_REASON", LeftOutReason),
    (trainer_pb2.Precision, "PRECISION", Precision),
    (trainer_pb2.TrainingPhase, "TRAINING_PHASE", TrainingPhase),
]


@pytest.mark.parametrize(("wire", "prefix", "kind"), WIRE_ENUMS, ids=lambda part: getattr(part, "__name__", ""))
def test_every_member_has_a_number_and_every_number_a_member(wire: Any, prefix: str, kind: Any) -> None:
    numbers = {values.enum_to_proto(wire, prefix, member) for member in kind}
    assert numbers == set(wire.values()) - {0}
    assert {values.enum_from_proto(wire, prefix, number, kind) for number in numbers} == set(kind)
    with pytest.raises(InvalidInput, match="99"):
        values.enum_from_proto(wire, prefix, 99, kind)
    with pytest.raises(InvalidInput, match="0"):
        values.enum_from_proto(wire, prefix, 0, kind)


@given(
    st.builds(
        Generation,
        prompt=st.builds(Prompt, id=texts, image=images, text=texts),
        seeds=st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=4).map(tuple),
        sampling=st.builds(Sampling, temperature=st.floats(0, 10), top_p=st.floats(0.1, 1), max_new_tokens=st.just(3)),
    )
)
def test_generations(item: Generation) -> None:
    raw = candidates.generation_to_proto(item).SerializeToString()
    assert candidates.generation_from_proto(policy_pb2.GenerateRequest.FromString(raw), LIMIT) == item


@given(
    st.lists(
        st.builds(
            Candidate,
            prompt_id=st.just("p"),
            index=counts,
            seed=st.integers(0, 2**63 - 1),
            text=texts,
            finish_reason=st.sampled_from(FinishReason),
            policy_version=texts,
            token_ids=st.lists(counts, max_size=3).map(tuple),
            token_logprobs=st.lists(single, max_size=3).map(tuple),
        ),
        max_size=3,
    ).map(tuple)
)
def test_candidates(items: tuple[Candidate, ...]) -> None:
    raw = candidates.candidates_to_response("p", items).SerializeToString()
    assert candidates.candidates_from_response(policy_pb2.GenerateResponse.FromString(raw)) == items


@given(st.builds(Answer, id=texts, text=texts.filter(bool), prompt=texts))
def test_answers(answer: Answer) -> None:
    assert claims.answer_from_proto(claims.answer_to_proto(answer), LIMIT) == answer


left_out = st.builds(LeftOutClaims, reason=st.sampled_from(LeftOutReason), count=counts)
skipped = st.builds(SkippedText, start=counts, end=counts, reason=st.sampled_from(SkipReason))


@given(
    st.builds(
        Decomposition,
        claims=st.lists(built_claims, max_size=3).map(tuple),
        skipped=st.lists(skipped, max_size=3).map(tuple),
        duplicates=counts,
        version=texts,
        left_out=st.lists(left_out, max_size=3).map(tuple),
    )
)
def test_decompositions(decomposition: Decomposition) -> None:
    raw = claims.decomposition_to_response("a", decomposition).SerializeToString()
    assert claims.decomposition_from_response(decomposer_pb2.DecomposeResponse.FromString(raw)) == decomposition


@given(st.lists(built_verdicts, max_size=3).map(tuple))
def test_verdicts(items: tuple[Verdict, ...]) -> None:
    raw = verdicts.verdicts_to_response("a", items).SerializeToString()
    assert verdicts.verdicts_from_response(labeler_pb2.AskQuestionsResponse.FromString(raw)) == items


def test_questions() -> None:
    item = Questions(id="a", image=Image.of(b"x"), questions=("Is it?", "Is it?"))
    assert verdicts.questions_from_proto(verdicts.questions_to_proto(item), LIMIT) == item


@given(
    st.builds(
        ScoredAnswer,
        claims=st.lists(judged, max_size=2).map(tuple),
        score=scores,
        labeler_version=texts,
        decomposer_version=texts,
    )
)
def test_scored_answers(answer: ScoredAnswer) -> None:
    response = verdicts.scored_to_response("a", answer)
    assert verdicts.scored_from_response(response) == answer
    assert [signal.value for signal in response.signals] == ([] if answer.score is None else [answer.score])


@given(st.lists(st.tuples(scores, st.lists(judged, max_size=2)), max_size=3))
def test_rankings(items: list[tuple[float | None, list[JudgedClaim]]]) -> None:
    ranking = tuple(
        RankedAnswer(index=index, answer=ScoredAnswer(claims=tuple(found), score=score))
        for index, (score, found) in enumerate(items)
    )
    assert verdicts.ranking_from_response(verdicts.ranking_to_response(ranking)) == ranking


def test_rules_and_the_papers_rule_where_nothing_is_said() -> None:
    rule = ScoringRule(verdict=VerdictRule(threshold=0.25, tie=TieRule.ACCEPT, min_mass=0.5), aggregate=Aggregate.RATE)
    assert verdicts.rule_from_proto(verdicts.rule_to_proto(rule)) == rule
    assert verdicts.rule_from_proto(records_pb2.ScoringRule()) == PAPER_RULE
    with pytest.raises(InvalidInput, match="threshold"):
        verdicts.rule_from_proto(records_pb2.ScoringRule(threshold=0.0))


@pytest.mark.parametrize("lora", [None, Lora(rank=2, alpha=3, dropout=0.0)])
def test_jobs(lora: Lora | None) -> None:
    job = TrainingJob(
        id="a.b-C_1",
        policy=Checkpoint(uri="/m", digest="d"),
        pairs_uri="/p",
        pairs_digest="e",
        output_uri="/o",
        hyperparameters=Hyperparameters(lora=lora, precision=Precision.FP32, seed=2**63 - 1, train_vision=True),
    )
    assert training.job_from_proto(training.job_to_proto(job)) == job


def test_jobs_that_are_not_whole_are_refused() -> None:
    whole = training.job_to_proto(
        TrainingJob(id="a", policy=Checkpoint(uri="/m", digest=""), pairs_uri="/p", output_uri="/o")
    )
    for field in ("policy", "hyperparameters", "pairs_uri", "output_uri", "job_id"):
        part = trainer_pb2.StartTrainingRequest()
        part.CopyFrom(whole)
        part.ClearField(field)
        with pytest.raises(InvalidInput, match=field):
            training.job_from_proto(part)
    with pytest.raises(InvalidInput, match="job_id"):
        training.job_id_checked("../elsewhere")


def test_progress() -> None:
    progress = TrainingProgress(
        phase=TrainingPhase.TRAINING, step=1, total_steps=2, loss=0.5, checkpoint=Checkpoint(uri="u", digest="d"),
        dropped={"too_long": 3}, message="m", resumed_from_step=1,
    )  # fmt: skip
    assert training.progress_from_proto(training.progress_to_proto(progress)) == progress
    failed = TrainingProgress(phase=TrainingPhase.FAILED, message="no", error=Conflict("no"))
    back = training.progress_from_proto(training.progress_to_proto(failed))
    assert isinstance(back.error, Conflict)
    assert back.error.message == "no"


def test_wrong_items_are_refused_by_name() -> None:
    image, sampling = records_pb2.Image(data=b"x"), records_pb2.Sampling(max_new_tokens=1)
    wrong: list[tuple[type[Exception], str, policy_pb2.GenerateRequest]] = [
        (InvalidInput, "sampling", policy_pb2.GenerateRequest(image=image, seeds=[1])),
        (InvalidInput, "seeds", policy_pb2.GenerateRequest(image=image, sampling=sampling)),
        (InvalidInput, "seeds", policy_pb2.GenerateRequest(image=image, sampling=sampling, seeds=[2**63])),
        (InvalidInput, "seeds", policy_pb2.GenerateRequest(image=image, sampling=sampling, seeds=[1] * 257)),
        (InvalidInput, "image", policy_pb2.GenerateRequest(sampling=sampling, seeds=[1])),
        (
            TooLarge,
            "prompt",
            policy_pb2.GenerateRequest(image=image, sampling=sampling, seeds=[1], prompt="a" * 100_001),
        ),
        (
            InvalidInput,
            "max_new_tokens",
            policy_pb2.GenerateRequest(image=image, sampling=records_pb2.Sampling(), seeds=[1]),
        ),
    ]
    for error, field, request in wrong:
        with pytest.raises(error, match=field):
            candidates.generation_from_proto(request, LIMIT)
    with pytest.raises(TooLarge, match="1001 bytes"):
        candidates.image_from_proto(records_pb2.Image(data=b"x" * 1001), LIMIT)
    with pytest.raises(TooLarge, match="1002 bytes"):
        claims.checked_answer("é" * 501, LIMIT)
    for questions, field in (([], "questions"), ([" "], r"questions\[0\]"), (["a" * 4097], r"questions\[0\]")):
        with pytest.raises(InvalidInput, match=field):
            verdicts.questions_from_proto(labeler_pb2.AskQuestionsRequest(image=image, questions=questions), LIMIT)


def test_text_that_has_no_utf8_is_refused_before_it_is_sent() -> None:
    with pytest.raises(InvalidInput, match="character 2"):
        claims.answer_to_proto(Answer(id="a", text="ok\ud800"))
