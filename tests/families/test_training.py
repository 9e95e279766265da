"""Learning with every family: log-probabilities and gradients of DPO against a plain computation without any sharing."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from rlaifv.adapters.huggingface.loading import LoadedModel, load_model
from rlaifv.adapters.huggingface.lora import with_adapters
from rlaifv.adapters.huggingface.probe import prove_batch
from rlaifv.adapters.huggingface.training_data import EncodedPair, PairData
from rlaifv.adapters.huggingface.training_model import TrainingModel
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.training import Hyperparameters, Lora, Precision
from rlaifv.learning.losses import dpo_loss
from rlaifv.learning.objectives import DpoObjective, PairLogprobs
from rlaifv.learning.sequences import join
from tests.families.pictures import PICTURES
from tests.families.plain import Plain

PAIRS = [
    ("wide", "What is on the left?", "There is a red car.", "There are two dogs."),
    ("wide", "What is on the right?", "I see a cat <image> there", ""),
    ("tall", "What do you see?", "A cup.\n\n- A bus, é 🦊.", "No. ASSISTANT: a green apple and a blue bus"),
    ("one_pixel_high", "Describe it.", "The picture shows a bus.", "The picture shows two."),
    ("large", "Describe the image.", "There is a red car on the left of the picture.", "yes"),
]
BETA = 0.5
FULL = Hyperparameters(beta=BETA, precision=Precision.FP32)
VISION = replace(FULL, train_vision=True)
LORA = replace(FULL, lora=Lora(rank=4, alpha=8, dropout=0.0))
WAYS = pytest.mark.parametrize("hyper", [FULL, VISION, LORA], ids=["full", "full-with-vision", "lora"])


def pair_data(loaded: LoadedModel) -> PairData:
    data = PairData(chat=loaded.chat, digest="", images=dict(PICTURES), dropped=Counter())
    for picture, text, *answers in PAIRS:
        rendered = loaded.chat.render(text)
        prompt = loaded.chat.prompt_ids(rendered, data.prepare(picture).without_inputs())
        sequences = [join(prompt, loaded.chat.answer_ids(rendered, a), loaded.end_of_sequence) for a in answers]
        data.pairs.append(EncodedPair(chosen=sequences[0], rejected=sequences[1], image=picture))
    return data


def answer_of(pair: EncodedPair, side: str) -> tuple[int, ...]:
    sequence = getattr(pair, side)
    ids: tuple[int, ...] = sequence.ids[sequence.answer_start :]
    return ids


def plain_sums(plain: Plain, data: PairData, side: str) -> Tensor:
    """Summed log-probabilities of the answers, one forward each, (pairs,)."""
    rows = zip(PAIRS, data.pairs, strict=True)
    return torch.stack(
        [plain.answer_logprobs(PICTURES[row[0]], row[1], answer_of(pair, side)).sum() for row, pair in rows]
    )


@WAYS
def test_log_probabilities_are_those_of_the_plain_forward(
    hyper: Hyperparameters, checkpoint: Checkpoint, plain: Plain
) -> None:
    loaded = load_model(checkpoint)
    prove_batch(loaded)
    data = pair_data(loaded)
    found = TrainingModel(loaded, data, hyper).reference(batch_size=3)
    with torch.no_grad():
        assert found.chosen == pytest.approx(plain_sums(plain, data, "chosen"), abs=1e-3)
        assert found.rejected == pytest.approx(plain_sums(plain, data, "rejected"), abs=1e-3)


@WAYS
def test_gradients_are_those_of_a_plain_computation(hyper: Hyperparameters, checkpoint: Checkpoint) -> None:
    """Of the gradients and not of the weights after a step: AdamW's first step is a sign, which rounding turns near 0."""
    loaded, plain = load_model(checkpoint), Plain.load(Path(checkpoint.uri))
    data = pair_data(loaded)
    model = TrainingModel(loaded, data, hyper)
    if hyper.lora is not None:
        with_adapters(plain.model, hyper.lora, hyper.seed)
        for learner in (loaded.model, plain.model):
            spread_adapters(learner)
    reference = PairLogprobs(chosen=torch.linspace(-9, -4, len(PAIRS)), rejected=torch.linspace(-5, -8, len(PAIRS)))
    others = dict(plain.model.named_parameters())
    stated_loss = dpo_loss(
        plain_sums(plain, data, "chosen"),
        plain_sums(plain, data, "rejected"),
        reference.chosen,
        reference.rejected,
        BETA,
    ).loss.mean()
    stated = gradients(stated_loss, {name: others[name] for name in model.parameters})
    model.train()
    objective = DpoObjective(score=model.score, reference=reference, beta=BETA)
    for _ in ("features computed", "features kept"):
        loss = objective(range(len(PAIRS))).loss.mean()
        assert float(loss.detach()) == pytest.approx(float(stated_loss.detach()), abs=1e-4)
        found = gradients(loss, model.parameters)
        assert sum(gradient is not None for gradient in found.values()) > 4
        for name, gradient in found.items():
            assert (gradient is None) == (stated[name] is None), name
            if gradient is not None:
                limit = 1e-6 + 1e-3 * float(stated[name].abs().max())
                assert float((gradient - stated[name]).abs().max()) <= limit, name


def spread_adapters(model: torch.nn.Module) -> None:
    """Fresh adapters are 0 in B, which leaves A without a gradient."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            if "lora_B" in name:
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.05)


def gradients(loss: Tensor, parameters: dict[str, Parameter]) -> dict[str, Any]:
    """By name; None where the loss does not depend on the weight."""
    found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    return dict(zip(parameters, found, strict=True))
