"""Generating and scoring with every family, against transformers' plain forward and its `generate`."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator

import pytest
import torch

from rlaifv.adapters.huggingface.labeler import HuggingFaceLabeler
from rlaifv.adapters.huggingface.policy import HuggingFacePolicy
from rlaifv.adapters.huggingface.questions import AnswerTokens
from rlaifv.core.candidates import Candidate, Prompt, Sampling
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.images import Image
from rlaifv.core.verdicts import Verdict, question_prompt
from rlaifv.ports.services import Generation, Questions
from tests.families.pictures import PICTURES
from tests.families.plain import Plain

TEXT = "What do you see in this image?"
QUESTIONS = ("Is there a red car in the picture?", "Are there two dogs?", "Is it blue? " * 9)
SEEDS = (3, 4, 5)


@pytest.fixture(scope="module")
def candidates(checkpoint: Checkpoint) -> dict[str, tuple[Candidate, ...]]:
    """By picture: one greedy answer, then three samples; all pictures in one batch."""

    async def generate() -> dict[str, tuple[Candidate, ...]]:
        policy = HuggingFacePolicy.open(checkpoint)
        greedy, sampled = Sampling(temperature=0.0, max_new_tokens=10), Sampling(temperature=0.9, max_new_tokens=10)
        items = [
            Generation(
                prompt=Prompt(id=f"{name}{kind}", image=Image(data=data), text=TEXT), seeds=seeds, sampling=sampling
            )
            for name, data in PICTURES.items()
            for kind, seeds, sampling in (("", (0,), greedy), ("+", SEEDS, sampled))
        ]
        found = {outcome.item_id: outcome.unwrap() async for outcome in policy.generate(items)}
        await policy.close()
        return {name: found[name] + found[f"{name}+"] for name in PICTURES}

    return asyncio.run(generate())


@pytest.fixture(scope="module")
def verdicts(checkpoint: Checkpoint) -> Iterator[dict[str, tuple[Verdict, ...]]]:
    async def ask() -> dict[str, tuple[Verdict, ...]]:
        items = [Questions(id=name, image=Image(data=data), questions=QUESTIONS) for name, data in PICTURES.items()]
        return {outcome.item_id: outcome.unwrap() async for outcome in labeler.ask(items)}

    labeler = HuggingFaceLabeler.open(checkpoint)
    yield asyncio.run(ask())
    labeler.close()


def test_greedy_answers_are_those_of_generate(candidates: dict[str, tuple[Candidate, ...]], plain: Plain) -> None:
    for name, data in PICTURES.items():
        assert candidates[name][0].token_ids == plain.greedy(data, TEXT, 10), name


def test_log_probabilities_are_those_of_the_plain_forward(
    candidates: dict[str, tuple[Candidate, ...]], plain: Plain
) -> None:
    compared = 0
    for name, data in PICTURES.items():
        for candidate in candidates[name]:
            # Random weights draw the image token too; transformers' forward would then ask for a second picture.
            ids = tuple(
                itertools.takewhile(lambda token: token != plain.model.config.image_token_id, candidate.token_ids)
            )
            with torch.no_grad():
                stated = plain.answer_logprobs(data, TEXT, ids)
            assert torch.tensor(candidate.token_logprobs[: len(ids)]) == pytest.approx(stated, abs=1e-4), name
            compared += len(ids)
    assert compared > 200


def test_verdicts_are_those_of_whole_prompts(verdicts: dict[str, tuple[Verdict, ...]], plain: Plain) -> None:
    """The prefix that questions share, and the positions at which they go on from it, change nothing."""
    tokens = AnswerTokens.of(plain.processor.tokenizer)
    for name, data in PICTURES.items():
        for question, verdict in zip(QUESTIONS, verdicts[name], strict=True):
            stated = plain.next_logits(data, question_prompt(question.strip())).softmax(-1)
            assert verdict.p_yes == pytest.approx(float(stated[list(tokens.yes)].sum()), abs=1e-5), name
            assert verdict.p_no == pytest.approx(float(stated[list(tokens.no)].sum()), abs=1e-5), name


def test_pictures_and_prompts_matter(
    candidates: dict[str, tuple[Candidate, ...]], verdicts: dict[str, tuple[Verdict, ...]]
) -> None:
    """Else the tests above would pass on a model that looks at nothing."""
    assert len({found[0].token_logprobs for found in candidates.values()}) == len(PICTURES)
    assert len({round(found[0].p_yes, 6) for found in verdicts.values()}) >= len(PICTURES) - 1
    assert all(len({verdict.p_yes for verdict in found}) == len(QUESTIONS) for found in verdicts.values())
