"""Questions about several pictures: passes are shared, and what goes wrong stays with its picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from rlaifv.adapters.huggingface import questions as module
from rlaifv.adapters.huggingface.branches import BranchPass
from rlaifv.adapters.huggingface.decoder import Decoder
from rlaifv.adapters.huggingface.loading import load_model
from rlaifv.adapters.huggingface.questions import Answers, Asked, QuestionBranches
from rlaifv.adapters.huggingface.reading import ImageReader
from rlaifv.adapters.huggingface.vision import FeatureCache
from rlaifv.adapters.images import ImageSources
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.errors import BackendFailed, InvalidInput, RlaifvError
from rlaifv.core.images import Image
from tests.tiny_llava import picture

RED, GREEN, BLUE = (Image.of(picture(colour)) for colour in ((200, 30, 30), (20, 200, 40), (30, 40, 220)))
ASKED = [
    Asked(image=RED, questions=("Is there a dog?", "Is the car red?")),
    Asked(image=GREEN, questions=("Is there a dog?",)),
    Asked(image=BLUE, questions=("Are there two cups?", "Is it raining?", "Is there a dog?")),
]


@pytest.fixture
def branches(checkpoint: Checkpoint) -> Iterator[QuestionBranches]:
    loaded = load_model(checkpoint)
    decoder = Decoder(loaded.model)
    with torch.inference_mode():
        yield QuestionBranches(
            loaded, decoder, ImageReader(loaded, decoder, FeatureCache(1 << 20), ImageSources()), 1 << 28
        )


def answered(branches: QuestionBranches, asked: list[Asked]) -> dict[int, Answers | RlaifvError]:
    found = list(branches.ask(asked))
    assert len(found) == len(asked), "one outcome a picture"
    return dict(found)


def test_three_pictures_take_one_pass_each_and_one_for_all_questions(branches: QuestionBranches) -> None:
    found = answered(branches, ASKED)
    assert branches.forward_passes == 3 + 1
    assert branches.rows == 6
    for number, asked in enumerate(ASKED):
        assert found[number] == answered(branches, [asked])[0], "to the bit"


def test_a_full_pass_does_not_wait_for_the_next_picture(
    branches: QuestionBranches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(module._PASS_TOKENS, "cpu", 20)
    taken = []

    def pictures() -> Iterator[Asked]:
        for asked in ASKED:
            taken.append(asked)
            yield asked

    work = branches.ask(pictures())
    number, _ = next(work)
    assert (number, len(taken)) == (0, 2), "the first is complete when the second fills its pass"
    assert dict(work).keys() == {1, 2}


def test_the_picture_on_which_a_pass_fails_fails_alone(
    branches: QuestionBranches, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = answered(branches, ASKED)
    run: Callable[[BranchPass], torch.Tensor] = branches._decoder.run
    green = branches._reader.see(GREEN)
    prompt = branches._split(green, ("Is there a dog?",))[0]
    poison = branches._reader.read(prompt, green).keys[0]

    def stumble(work: BranchPass) -> torch.Tensor:
        if any(torch.equal(keys.keys[0][:, : poison.shape[2]], poison[0]) for keys in work._prefixes):
            raise RuntimeError("a kernel gave up at a secret place")
        return run(work)

    monkeypatch.setattr(branches._decoder, "run", stumble)
    found = answered(branches, ASKED)
    assert (found[0], found[2]) == (expected[0], expected[2])
    error = found[1]
    assert isinstance(error, BackendFailed)
    assert "secret" not in error.message


def test_a_picture_that_cannot_be_asked_about_is_an_error_in_its_place(branches: QuestionBranches) -> None:
    junk = Asked(image=Image.of(b"junk"), questions=("Is it?",))
    found = answered(branches, [ASKED[0], junk, Asked(image=RED, questions=()), ASKED[1]])
    assert isinstance(found[1], InvalidInput)
    assert found[2] == {}
    assert found[3] == answered(branches, [ASKED[1]])[0]
