"""What runs inside Triton, without Triton: batches of requests, each with the verdicts that it has alone."""

from __future__ import annotations

from collections.abc import Iterator
from math import nan
from pathlib import Path

import pytest
import torch

from rlaifv.adapters.huggingface.labeler import HuggingFaceLabeler
from rlaifv.adapters.images import decode
from rlaifv.adapters.triton.model import BatchLabeler, PictureAnswers, PictureQuestions, tensors_sha256
from rlaifv.adapters.triton.settings import TritonSettings
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.errors import BackendFailed, Conflict, InvalidInput, RlaifvError, TooLarge
from rlaifv.core.images import Image
from rlaifv.ports.services import Questions
from tests.serving import collected
from tests.tiny_llava import picture, save_tiny_llava

RED, BLUE = picture((200, 30, 30)), picture((30, 30, 200))
QUESTIONS = ("Is there a red car?", "Is the cup blue?", "Are there two dogs in the picture?", "Is there a cat?")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llava(tmp_path_factory.mktemp("models") / "tiny", seed=3)


@pytest.fixture(scope="module")
def model(folder: Path) -> BatchLabeler:
    return BatchLabeler.open(TritonSettings(model=str(folder)))


def ask(image: bytes, *questions: str) -> PictureQuestions:
    return PictureQuestions(image=image, questions=questions)


def numbers(outcome: PictureAnswers | RlaifvError) -> list[tuple[float, float]]:
    assert isinstance(outcome, PictureAnswers), outcome
    return list(zip(outcome.p_yes, outcome.p_no, strict=True))


async def test_a_batch_gives_the_embedded_labelers_bits(model: BatchLabeler, folder: Path) -> None:
    batch = [ask(RED, *QUESTIONS), ask(BLUE, *QUESTIONS[:2]), ask(RED, QUESTIONS[2], QUESTIONS[0]), ask(BLUE, "Is it?")]
    embedded = HuggingFaceLabeler.open(Checkpoint(uri=str(folder), digest=""))
    items = [Questions(id=str(at), image=Image.of(one.image), questions=one.questions) for at, one in enumerate(batch)]
    expected = await collected(embedded.ask(items))
    embedded.close()
    for at, outcome in enumerate(model.answer(batch)):
        assert numbers(outcome) == [(verdict.p_yes, verdict.p_no) for verdict in expected[str(at)].unwrap()]
    assert model.version == expected["0"].unwrap()[0].labeler_version


def test_requests_about_one_picture_read_it_once_and_ask_each_question_once(model: BatchLabeler) -> None:
    before = model.forward_passes
    same = "Is there a dog?"
    outcomes = model.answer([ask(RED, same) for _ in range(20)] + [ask(RED, same, "Is there a cat?")])
    assert model.forward_passes - before == 2, "one for the picture, one for two questions of one width"
    assert len({next(iter(numbers(outcome))) for outcome in outcomes}) == 1


def test_a_bad_request_fails_alone(model: BatchLabeler) -> None:
    good = ask(RED, *QUESTIONS)
    alone = model.answer([good])[0]
    bad = [ask(b"junk", "Is it?"), ask(b"", "Is it?"), ask(RED, "Is it?", " <image> "), ask(RED, "word " * 4000)]
    found = model.answer([*bad, good, ask(b"")])
    assert [type(outcome) for outcome in found[:4]] == [InvalidInput] * 4
    assert found[4] == alone
    assert found[5] == PictureAnswers(p_yes=(), p_no=())


def test_limits_of_pictures_are_the_settings(folder: Path) -> None:
    model = BatchLabeler.open(TritonSettings(model=str(folder), max_image_side_px=20, max_image_bytes=10_000))
    (outcome,) = model.answer([ask(RED, "Is it?")])
    assert isinstance(outcome, TooLarge)
    assert "20 px" in outcome.message


def test_numbers_that_are_none_are_no_answer(model: BatchLabeler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        model._branches, "ask", lambda asked: ((at, {"Is it?": (nan, 0.5)}) for at, _ in enumerate(asked))
    )
    (outcome,) = model.answer([ask(RED, "Is it?")])
    assert isinstance(outcome, BackendFailed)


def test_what_the_model_stumbles_over_is_our_error_and_says_no_more(
    model: BatchLabeler, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(branches: object) -> None:
        raise RuntimeError("a secret path")

    monkeypatch.setattr(model._branches._decoder, "run", stumble)
    (outcome,) = model.answer([ask(RED, "Is it?")])
    assert isinstance(outcome, BackendFailed)
    assert "secret" not in outcome.message


def test_the_pixels_are_those_of_the_one_way_to_prepare_a_picture(model: BatchLabeler) -> None:
    expected = model._chat.prepare(decode(RED)).inputs
    assert model.pixels_sha256(RED) == tensors_sha256(expected) != model.pixels_sha256(BLUE)
    changed = {name: tensor.clone() for name, tensor in expected.items()}
    changed["pixel_values"].view(-1)[0] += 1e-6
    assert tensors_sha256(changed) != tensors_sha256(expected)


def test_another_digest_than_the_stated_one_is_not_served(folder: Path) -> None:
    with pytest.raises(Conflict):
        BatchLabeler.open(TritonSettings(model=str(folder), model_digest="0" * 64))
