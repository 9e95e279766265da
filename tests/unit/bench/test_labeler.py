"""The bench of the labeler: its sides answer alike, its FLOP are those that torch counts, its work is what it says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from bench.labeler_flop import DecoderCost, Prompts, needed, prompts_of, vision
from bench.labeler_process import tree_cpu_seconds
from bench.labeler_published import PublishedSide, padded
from bench.labeler_sides import Agreement, Answer, OurSide, Turns, make_turns, reworded
from bench.scenes import AskedPicture, asked_pictures
from rlaifv.core.training import Precision
from tests.tiny_llava import save_tiny_llava


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llava(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def published(folder: Path) -> PublishedSide:
    return PublishedSide(folder, Precision.FP32)


@pytest.fixture
def ours(folder: Path) -> Iterator[OurSide]:
    side = OurSide(folder, Precision.FP32, threads=1)
    yield side
    side.close()


@pytest.fixture(scope="module")
def pictures() -> list[AskedPicture]:
    return asked_pictures(2, seed=3, answers=3, claims=4, repeated=0.5)


def test_the_published_procedure_and_ours_find_the_same(
    published: PublishedSide, ours: OurSide, pictures: list[AskedPicture]
) -> None:
    theirs = published.ask(pictures)

    agreement = Agreement.of(theirs, ours.ask(pictures))

    assert len(theirs) == 24
    assert agreement.max_abs_diff < 1e-5
    assert agreement.within(Precision.FP32)


def test_a_side_that_mixes_up_questions_is_found_out(published: PublishedSide, pictures: list[AskedPicture]) -> None:
    right = published.ask(pictures)

    assert not Agreement.of(right, right[1:] + right[:1]).within(Precision.FP32)


def test_one_turned_verdict_is_unequal_in_fp32_only() -> None:
    agreement = Agreement.of([Answer(0.50001, 0.49999, True)], [Answer(0.49999, 0.50001, False)])

    assert agreement.flips == 1
    assert not agreement.within(Precision.FP32)
    exact = [Answer(0.5, 0.5, False)]
    assert Agreement.of([Answer(0.6, 0.4, True)], [Answer(0.4, 0.6, False)], exact).within(Precision.BF16)
    assert not Agreement.of([Answer(0.6, 0.4, True)], [Answer(0.3, 0.7, False)], exact).within(Precision.BF16)


def test_flop_of_a_prompt_are_those_that_torch_counts(published: PublishedSide, pictures: list[AskedPicture]) -> None:
    picture, question = pictures[0].image.data, pictures[0].questions[0]
    inputs = published.inputs(picture, question)
    tokens = inputs["input_ids"].shape[1]
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counted:
        published.model(**inputs, logits_to_keep=1)

    cost = DecoderCost.of(published.model)

    # torch counts a dense attention, where every token looks at every other.
    assert vision(published, pictures[0]) + tokens * cost.token + tokens**2 * cost.pair + cost.head == (
        counted.get_total_flops()
    )


def test_needed_flop_count_a_prefix_once_and_a_repeated_question_once(
    published: PublishedSide, pictures: list[AskedPicture]
) -> None:
    cost = DecoderCost(token=1000, pair=10, head=1)

    assert cost.needed(Prompts(prefix=3, image_tokens=2, branches=(2, 1))) == 6 * 1000 + (6 + 6 + 3 + 3 + 1) * 10 + 2
    once = AskedPicture(image=pictures[0].image, answers=(tuple(dict.fromkeys(pictures[0].questions)),))
    assert needed(published, pictures[:1]) == needed(published, [once])


def test_lengths_of_a_prompt(published: PublishedSide, pictures: list[AskedPicture]) -> None:
    found = prompts_of(published, pictures[0])

    first = published.inputs(pictures[0].image.data, pictures[0].questions[0])["input_ids"][0]
    assert found.image_tokens == 4
    assert len(found.branches) == len(set(pictures[0].questions))
    assert found.prefix + found.branches[0] == len(first)
    assert int(first[found.prefix - 1]) == published.model.config.image_token_id


def test_turns_repeat_the_share_asked_for_and_no_picture() -> None:
    turns = make_turns(3, seed=0, pictures=4, answers=10, claims=9, repeated=0.6)

    asked = [one for turn in turns[1:] for one in turn]
    distinct = sum(len(set(one.questions)) for one in asked) / sum(len(one.questions) for one in asked)
    assert distinct == pytest.approx(0.4, abs=0.05)
    assert [len(turn) for turn in turns] == [1, 4, 4, 4]
    assert len({one.image.sha256 for turn in turns for one in turn}) == 13


def test_more_repetitions_than_answers_can_have() -> None:
    with pytest.raises(ValueError, match=r"repeated = 0\.95"):
        make_turns(1, seed=0, pictures=1, answers=10, claims=9, repeated=0.95)


def test_a_side_keeps_the_answers_of_all_its_turns(published: PublishedSide, pictures: list[AskedPicture]) -> None:
    work = Turns(published, [pictures[:1], pictures[1:]])

    assert [*work(), *work()] == work.found == published.ask(pictures)


def test_reworded_questions_keep_picture_and_answers(pictures: list[AskedPicture]) -> None:
    louder = reworded(pictures[0], str.upper)

    assert louder.image == pictures[0].image
    assert [len(answer) for answer in louder.answers] == [4, 4, 4]
    assert louder.questions[0] == pictures[0].questions[0].upper()


def test_a_padded_batch_answers_as_its_rows_do(published: PublishedSide, pictures: list[AskedPicture]) -> None:
    asked = [(one.image.data, question) for one in pictures for question in one.questions[:3]]
    with torch.inference_mode():
        batch = padded([published.inputs(*one) for one in asked], published.processor.tokenizer.pad_token_id)
        logits = published.model(**batch, logits_to_keep=1).logits[:, -1]
        alone = [published.answer(*one) for one in asked]

    assert len({int(row.sum()) for row in batch["attention_mask"]}) > 1, "all prompts are equally long"
    together = [published.verdict(row) for row in logits]
    assert Agreement.of(alone, together).max_abs_diff < 1e-5


def test_cpu_time_of_a_process_includes_its_children() -> None:
    before = tree_cpu_seconds(os.getpid())
    burning = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", burning], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        alive = tree_cpu_seconds(os.getpid()) - before
        child.communicate(b"\n")

    assert alive >= 0.25
