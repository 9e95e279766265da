"""Learning with every family: log-probabilities and gradients of DPO against a plain computation without any sharing."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog
import torch
from torch import Tensor
from torch.nn import Parameter

from rlaifv.adapters.huggingface.checkpoint import checkpoint_at
from rlaifv.adapters.huggingface.loading import LoadedModel, load_model
from rlaifv.adapters.huggingface.lora import with_adapters
from rlaifv.adapters.huggingface.probe import prove_batch, prove_training
from rlaifv.adapters.huggingface.training_data import EncodedPair, PairData
from rlaifv.adapters.huggingface.training_model import TrainingModel
from rlaifv.adapters.huggingface.training_run import TrainerOptions, run_training
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.training import Hyperparameters, Lora, Precision, TrainingPhase, TrainingProgress
from rlaifv.learning.losses import dpo_loss
from rlaifv.learning.objectives import DpoObjective, ObjectiveOutput, PairLogprobs
from rlaifv.learning.packing import Tree, grow
from rlaifv.learning.sequences import join
from tests.families.pictures import PICTURES
from tests.families.plain import Plain
from tests.unit.huggingface.training_jobs import LORA as QUICK
from tests.unit.huggingface.training_jobs import job, pair_file

PAIRS = [
    ("wide", "What is on the left?", "There is a red car.", "There are two dogs."),
    ("wide", "What is on the right?", "I see a cat <image> there", ""),
    ("tall", "What do you see?", "A cup.\n\n- A bus, é 🦊.", "No. ASSISTANT: a green apple and a blue bus"),
    ("one_pixel_high", "Describe it.", "The picture shows a bus.", "The picture shows two."),
    ("large", "Describe the image.", "There is a red car on the left of the picture.", "yes"),
    ("wide", "What is on the left?", "There is a red car.", "A cup."),
    ("wide", "What is on the left?", "There are two dogs.", "A green apple and a blue bus, é 🦊."),
]
"""Seven pairs of five prompts, two of them about one picture; the first prompt's two answers each come twice."""

PADDED = {"gemma3": "relative difference"}
"""By family: why its sequences cannot be packed."""
BETA = 0.5
SIDES = ("chosen", "rejected")
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


def test_which_families_are_packed_and_why_others_are_not(family: str, checkpoint: Checkpoint) -> None:
    reason = prove_training(load_model(checkpoint))
    assert PADDED[family] in reason if family in PADDED else reason == ""


def test_a_job_says_that_it_is_padded(made: dict[str, Path], tmp_path: Path) -> None:
    reports: list[TrainingProgress] = []
    pair_file(tmp_path / "pairs.parquet")
    work = job(tmp_path / "job", checkpoint_at(made["gemma3"]), replace(QUICK, epochs=1), tmp_path / "pairs.parquet")
    with structlog.testing.capture_logs() as logs:
        run_training(work, TrainerOptions(), reports.append)
    layouts = [(entry["layout"], entry["reason"]) for entry in logs if entry["event"] == "training_layout"]
    assert len(layouts) == 1
    assert layouts[0][0] == "padded"
    assert reports[-1].phase is TrainingPhase.DONE
    assert reports[-1].message == f"every answer is read with its prompt, padded: {layouts[0][1]}"


@WAYS
def test_packed_and_padded_learn_the_same(family: str, hyper: Hyperparameters, checkpoint: Checkpoint) -> None:
    if family in PADDED:
        pytest.skip("its sequences are padded")
    reference = PairLogprobs(chosen=torch.linspace(-9, -4, len(PAIRS)), rejected=torch.linspace(-5, -8, len(PAIRS)))

    def learned(pack_tokens: int, padding_reason: str) -> tuple[ObjectiveOutput, dict[str, Any]]:
        loaded = load_model(checkpoint)
        model = TrainingModel(loaded, pair_data(loaded), hyper, pack_tokens=pack_tokens, padding_reason=padding_reason)
        spread_adapters(loaded.model)
        model.train()
        output = DpoObjective(score=model.score, reference=reference, beta=BETA)(range(len(PAIRS)))
        return output, gradients(output.loss.mean(), model.parameters)

    padded, stated = learned(1, "for the comparison")
    for pack_tokens in (8192, 400, 1):
        packed, found = learned(pack_tokens, "")
        torch.testing.assert_close(packed.loss, padded.loss, rtol=1e-5, atol=1e-5)
        for name, value in packed.metrics.items():
            torch.testing.assert_close(value, padded.metrics[name], rtol=1e-5, atol=1e-4)
        for name, gradient in found.items():
            assert (gradient is None) == (stated[name] is None), name
            if gradient is not None:
                torch.testing.assert_close(gradient, stated[name], rtol=1e-5, atol=1e-5)


def test_a_prompt_is_read_once_for_all_its_answers(family: str, checkpoint: Checkpoint) -> None:
    if family in PADDED:
        pytest.skip("its sequences are padded")
    loaded = load_model(checkpoint)
    data = pair_data(loaded)
    model = TrainingModel(loaded, data, FULL)
    read: list[Tensor] = []
    loaded.model.base_model.register_forward_pre_hook(
        lambda _, __, named: read.append(named["input_ids"]), with_kwargs=True
    )
    model.reference(batch_size=1)
    assert data.prompts == (0, 1, 2, 3, 4, 0, 0)
    prompts = {(*pair.chosen.ids[: pair.chosen.answer_start], pair.image) for pair in data.pairs}
    needed = sum(len(prompt) - 1 for prompt in prompts) + branch_tokens(data)
    assert [ids.numel() for ids in read] == [needed]


def test_the_last_layer_leaves_out_what_nobody_reads(family: str, checkpoint: Checkpoint) -> None:
    if family in PADDED:
        pytest.skip("its sequences are padded")
    loaded = load_model(checkpoint)
    data = pair_data(loaded)
    model = TrainingModel(loaded, data, FULL)
    computed: dict[str, list[int]] = {}
    layers = loaded.model.get_decoder().layers
    for at in (-2, -1):
        for name in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.o_proj", "mlp.down_proj"):
            seen = computed.setdefault(f"{at} {name}", [])
            layers[at].get_submodule(name).register_forward_hook(lambda _, x, __, seen=seen: seen.append(x[0].shape[1]))
    model.score(range(len(PAIRS)))
    whole = sum(len(tree.prompt) for tree in trees_of(data)) + branch_tokens(data)
    read = len(trees_of(data)) + branch_tokens(data)
    left_out = {"-1 self_attn.q_proj", "-1 self_attn.o_proj", "-1 mlp.down_proj"}
    assert computed == {name: [read if name in left_out else whole] for name in computed}


def trees_of(data: PairData) -> tuple[Tree, ...]:
    sequences = [getattr(pair, side) for side in SIDES for pair in data.pairs]
    return grow(sequences, [pair.image for pair in data.pairs] * 2).trees


def branch_tokens(data: PairData) -> int:
    """Of all distinct answers, their ends left out."""
    numbered = zip(data.prompts, data.pairs, strict=True)
    answers = {(number, answer_of(pair, side)) for number, pair in numbered for side in SIDES}
    return sum(len(answer) - 1 for _, answer in answers)


def test_layers_computed_again_in_the_backward_pass(family: str, checkpoint: Checkpoint) -> None:
    """Gradient checkpointing: the layout of a pack reaches the layers a second time."""
    if family in PADDED:
        pytest.skip("its sequences are padded")
    found = []
    for again in (False, True):
        loaded = load_model(checkpoint)
        model = TrainingModel(loaded, pair_data(loaded), FULL, padding_reason="")
        if again:
            loaded.model.gradient_checkpointing_enable({"use_reentrant": False})
        model.train()
        found.append(gradients(model.score(range(len(PAIRS))).chosen.sum(), model.parameters))
    for name, gradient in found[0].items():
        assert gradient is None or torch.equal(gradient, found[1][name]), name


def test_bf16_is_near_fp32(family: str, checkpoint: Checkpoint) -> None:
    found = []
    for precision in Precision:
        loaded = load_model(checkpoint)
        model = TrainingModel(loaded, pair_data(loaded), replace(FULL, precision=precision))
        scored = model.score(range(len(PAIRS)))
        (scored.chosen.sum() + scored.rejected.sum()).backward()
        found.append((scored, torch.cat([p.grad.flatten() for p in model.parameters.values() if p.grad is not None])))
    (exact, slope), (rounded, rough) = found
    torch.testing.assert_close(rounded.chosen, exact.chosen, rtol=0.02, atol=0.5)
    torch.testing.assert_close(rounded.rejected, exact.rejected, rtol=0.02, atol=0.5)
    assert float(torch.cosine_similarity(rough, slope, dim=0)) > 0.97


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
