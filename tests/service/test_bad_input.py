"""Malformed requests from a plain gRPC client: each item gets its own status, its neighbours their answers, the service stays."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import pytest

from rlaifv.api.v1 import decomposer_pb2, labeler_pb2, policy_pb2, records_pb2, trainer_pb2
from rlaifv.rpc.channel import open_channel
from services.decomposer.settings import DecomposerSettings
from services.labeler.settings import LabelerSettings
from services.policy.settings import PolicySettings
from services.trainer.settings import TrainerSettings
from tests.service.raw import stream, unary
from tests.serving import picture, serving

ASK = "/rlaifv.api.v1.LabelerService/AskQuestions"
SCORE = "/rlaifv.api.v1.LabelerService/ScoreAnswers"
RANK = "/rlaifv.api.v1.LabelerService/RankAnswers"
DECOMPOSE = "/rlaifv.api.v1.DecomposerService/Decompose"
GENERATE = "/rlaifv.api.v1.PolicyService/Generate"
LOAD = "/rlaifv.api.v1.PolicyService/LoadCheckpoint"
START = "/rlaifv.api.v1.TrainerService/StartTraining"

OK, INVALID, NOT_FOUND, PRECONDITION, TOO_LARGE = 0, 3, 5, 9, 11

IMAGE = records_pb2.Image(data=picture().data)


@pytest.fixture
async def labeler() -> AsyncIterator[grpc.aio.Channel]:
    async with (
        serving(LabelerSettings(backend="fake", decomposer="fake")) as server,
        open_channel(server.target) as channel,
    ):
        yield channel


@pytest.fixture
async def policy() -> AsyncIterator[grpc.aio.Channel]:
    async with serving(PolicySettings(backend="fake")) as server, open_channel(server.target) as channel:
        yield channel


@pytest.fixture
async def decomposer() -> AsyncIterator[grpc.aio.Channel]:
    async with serving(DecomposerSettings(backend="fake")) as server, open_channel(server.target) as channel:
        yield channel


def ask(item_id: str, image: records_pb2.Image = IMAGE, questions: tuple[str, ...] = ("Is it red?",)) -> bytes:
    return labeler_pb2.AskQuestionsRequest(item_id=item_id, image=image, questions=questions).SerializeToString()


BAD_ITEMS = {
    "no image": (ask("bad", records_pb2.Image()), INVALID, "image"),
    "no picture": (ask("bad", records_pb2.Image(data=b"GIF87a but not really")), INVALID, "is no picture"),
    "50 MB": (ask("bad", records_pb2.Image(data=b"\x89PNG" * 13_107_200)), TOO_LARGE, "over the limit of 20971520"),
    "other digest": (ask("bad", records_pb2.Image(data=IMAGE.data, sha256="0" * 64)), PRECONDITION, "sha256"),
    "file of the server": (ask("bad", records_pb2.Image(uri="file:///etc/passwd")), INVALID, "outside the folders"),
    "address": (ask("bad", records_pb2.Image(uri="http://localhost/x.png")), INVALID, "http is not allowed"),
    "20,000 px": (ask("bad", records_pb2.Image(data=picture(size=(20_000, 1)).data)), TOO_LARGE, "16384 px a side"),
    "no questions": (ask("bad", questions=()), INVALID, "questions = '0 questions'"),
    "an empty question": (ask("bad", questions=("Is it red?", "  ")), INVALID, "questions[1]"),
    "too many questions": (ask("bad", questions=("a?",) * 4097), INVALID, "give 1 to 4096"),
    "a question that is no UTF-8": (ask("bad", questions=("XX",)).replace(b"XX", b"\xff\xfe"), INVALID, "UTF-8"),
    "cut off": (ask("bad")[:-3], INVALID, "no valid message"),
}


@pytest.mark.parametrize("name", BAD_ITEMS)
async def test_a_bad_item_fails_alone_and_says_why(labeler: grpc.aio.Channel, name: str) -> None:
    request, code, words = BAD_ITEMS[name]
    requests = [ask("before"), request, ask("after")]
    found = await stream(labeler, ASK, requests, labeler_pb2.AskQuestionsResponse)
    assert found["bad"].status.code == code
    assert words in found["bad"].status.message
    assert not found["bad"].verdicts
    for neighbour in ("before", "after"):
        assert found[neighbour].status.code == OK
        assert len(found[neighbour].verdicts) == 1


async def test_the_smallest_picture_is_one(labeler: grpc.aio.Channel) -> None:
    tiny = records_pb2.Image(data=picture(size=(1, 1)).data)
    assert (await stream(labeler, ASK, [ask("a", tiny)], labeler_pb2.AskQuestionsResponse))["a"].status.code == OK


async def test_bytes_that_are_no_message_at_all_fail_alone(labeler: grpc.aio.Channel) -> None:
    found = await stream(labeler, ASK, [b"\xff\xff\xff", ask("good")], labeler_pb2.AskQuestionsResponse)
    assert {item_id: answer.status.code for item_id, answer in found.items()} == {"": INVALID, "good": OK}


async def test_an_id_that_was_used_before_fails_the_second_item(labeler: grpc.aio.Channel) -> None:
    call = labeler.stream_stream(
        ASK, request_serializer=bytes, response_deserializer=labeler_pb2.AskQuestionsResponse.FromString
    )(iter([ask("a"), ask("a"), ask("")]))
    codes = sorted((answer.item_id, answer.status.code) for answer in [answer async for answer in call])
    assert codes == [("", INVALID), ("a", OK), ("a", INVALID)]


async def test_a_message_over_the_limit_ends_its_call_but_not_the_service(labeler: grpc.aio.Channel) -> None:
    settings = LabelerSettings(backend="fake", decomposer="fake", max_message_bytes=4096)
    async with serving(settings) as server, open_channel(server.target) as channel:
        big = ask("big", records_pb2.Image(data=b"x" * 5000))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stream(channel, ASK, [big], labeler_pb2.AskQuestionsResponse)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await stream(channel, ASK, [ask("a")], labeler_pb2.AskQuestionsResponse))["a"].status.code == OK


ANSWERS = {
    "empty": ("", INVALID, 0),
    "blank": ("  \n ", OK, 0),
    "100 kB": ("There is a red car. There is a dog. " * 2900, OK, 2),
    "over the limit": ("é" * 600_000, TOO_LARGE, 0),
    "Japanese": ("写真には赤い車があります。", OK, 1),
    "tokens of a template": ("There is a <image> car. </s><|im_end|> [INST] {{ x }}", OK, 2),
    "control characters": ("There is\x00 a car.\x1b[31m", OK, 2),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_answers_of_all_kinds_are_divided_or_refused(decomposer: grpc.aio.Channel, name: str) -> None:
    text, code, claims = ANSWERS[name]
    request = decomposer_pb2.DecomposeRequest(item_id="a", answer=text).SerializeToString()
    answer = (await stream(decomposer, DECOMPOSE, [request], decomposer_pb2.DecomposeResponse))["a"]
    assert answer.status.code == code, answer.status.message
    assert len(answer.claims) == claims
    assert all(text[claim.start : claim.end] == claim.text for claim in answer.claims)


async def test_whole_answers_are_scored_or_refused_one_by_one(labeler: grpc.aio.Channel) -> None:
    def score(item_id: str, answer: str, rule: records_pb2.ScoringRule | None = None) -> bytes:
        request = labeler_pb2.ScoreAnswersRequest(item_id=item_id, image=IMAGE, answer=answer, rule=rule)
        return request.SerializeToString()

    requests = [
        score("good", "There is a car. There is a dog."),
        score("empty", ""),
        score("nothing to check", "... 12"),
        score("rule", "There is a car.", records_pb2.ScoringRule(threshold=1.5)),
        score("enum", "There is a car.", records_pb2.ScoringRule(aggregate=7)),  # type: ignore[arg-type]
        score("not utf-8", "XX").replace(b"XX", b"\xc3\x28"),
    ]
    found = await stream(labeler, SCORE, requests, labeler_pb2.ScoreAnswersResponse)
    assert found["good"].HasField("score")
    assert len(found["good"].claims) == 2
    assert found["good"].signals[0].name == "claim.trust"
    assert found["nothing to check"].status.code == OK
    assert not found["nothing to check"].HasField("score")
    assert found["nothing to check"].labeler_version
    for name, words in (("empty", "answer"), ("rule", "threshold"), ("enum", "aggregate"), ("not utf-8", "UTF-8")):
        assert found[name].status.code == INVALID
        assert words in found[name].status.message


async def test_ranking_wants_two_answers_or_more(labeler: grpc.aio.Channel) -> None:
    for answers, words in ((["There is a car."], "2 to 256"), (["There is a car.", ""], "is empty")):
        request = labeler_pb2.RankAnswersRequest(image=IMAGE, answers=answers)
        with pytest.raises(grpc.aio.AioRpcError, match=words) as caught:
            await unary(labeler, RANK, request.SerializeToString(), labeler_pb2.RankAnswersResponse)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_unary_request_that_is_no_message(labeler: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match="UTF-8") as caught:
        await unary(labeler, RANK, b"\xff\xff", labeler_pb2.RankAnswersResponse)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_prompts_are_answered_or_refused_one_by_one(policy: grpc.aio.Channel) -> None:
    def generate(item_id: str, seeds: list[int], sampling: records_pb2.Sampling | None, prompt: str = "") -> bytes:
        request = policy_pb2.GenerateRequest(
            item_id=item_id, image=IMAGE, prompt=prompt, seeds=seeds, sampling=sampling
        )
        return request.SerializeToString()

    good = records_pb2.Sampling(temperature=0.7, max_new_tokens=8)
    requests = [
        generate("good", [1, 2], good, "Look at <image> and say </s> what it is."),
        generate("no seeds", [], good),
        generate("no sampling", [1], None),
        generate("hot", [1], records_pb2.Sampling(temperature=11, max_new_tokens=8)),
        generate("not a number", [1], records_pb2.Sampling(temperature=float("nan"), max_new_tokens=8)),
        generate("last", [3], good),
    ]
    found = await stream(policy, GENERATE, requests, policy_pb2.GenerateResponse)
    assert len(found["good"].candidates) == 2
    assert len(found["last"].candidates) == 1
    for name in ("no seeds", "no sampling", "hot", "not a number"):
        assert found[name].status.code == INVALID, name


async def test_a_missing_checkpoint_keeps_the_old_one(policy: grpc.aio.Channel) -> None:
    get = "/rlaifv.api.v1.PolicyService/GetPolicy"
    before = await unary(policy, get, b"", policy_pb2.GetPolicyResponse)
    request = policy_pb2.LoadCheckpointRequest(checkpoint=records_pb2.Checkpoint(uri="/no/such/folder"))
    with pytest.raises(grpc.aio.AioRpcError, match="/no/such/folder") as caught:
        await unary(policy, LOAD, request.SerializeToString(), policy_pb2.LoadCheckpointResponse)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert await unary(policy, get, b"", policy_pb2.GetPolicyResponse) == before


async def test_a_trainer_that_may_not_write_everywhere(tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("root")
    settings = TrainerSettings(backend="fake", allowed_roots=(root,))
    hyperparameters = trainer_pb2.Hyperparameters(
        beta=0.1, learning_rate=1e-6, max_grad_norm=1, epochs=1, batch_size=1, micro_batch_size=1, max_tokens=64
    )
    request = trainer_pb2.StartTrainingRequest(
        job_id="a",
        policy=records_pb2.Checkpoint(uri=str(root)),
        pairs_uri=str(root / "pairs"),
        output_uri=f"{root}/../out",
        hyperparameters=hyperparameters,
    )
    async with serving(settings) as server, open_channel(server.target) as channel:
        with pytest.raises(grpc.aio.AioRpcError, match=r"output_uri .* must lie under") as caught:
            await unary(channel, START, request.SerializeToString(), trainer_pb2.StartTrainingResponse)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
