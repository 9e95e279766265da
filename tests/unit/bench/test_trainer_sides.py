"""Every side of the trainer's bench learns the same from the same: losses, gradient norms, weights, token sequences."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from tokenizers.processors import TemplateProcessing
from transformers import AutoProcessor

from bench.trainer_case import OURS, Trained
from bench.trainer_comparison import differences, loss_distance, same_tokens, weights_apart
from bench.trainer_job import Step
from bench.trainer_ours import OurTrainer
from bench.trainer_plain import PlainLoop, dpo, start_model
from bench.trainer_texts import encoded_pairs
from rlaifv.core.training import Precision
from rlaifv.learning.losses import dpo_loss
from tests.unit.bench.trainer_job import run, small_job

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


def test_dpo_by_hand() -> None:
    policy, reference = torch.tensor([[-3.0, -5.0], [-4.0, -2.0]]), torch.tensor([[-3.5, -5.0], [-3.0, -2.0]])
    margins = [0.1 * ((-3.0 + 3.5) - (-4.0 + 3.0)), 0.0]
    stated = [math.log1p(math.exp(-margin)) for margin in margins]
    assert dpo(policy, reference, 0.1).tolist() == pytest.approx(stated, rel=1e-6)
    assert torch.equal(dpo(policy, reference, 0.1), dpo_loss(*policy, *reference, beta=0.1).loss)


def test_the_plain_loop_sums_what_the_model_says_of_every_answer_token(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    loop, model = PlainLoop(job, stored=True), start_model(job)
    loop.start()
    stated = []
    for pair in encoded_pairs(job.model, job.pairs):
        for answer in (pair.chosen, pair.rejected):
            ids = torch.tensor([pair.prompt + answer])
            with torch.no_grad():
                logits = model(input_ids=ids, **pair.picture).logits[0]
            known = logits.double().log_softmax(-1)
            stated.append(sum(float(known[len(pair.prompt) - 1 + at, token]) for at, token in enumerate(answer)))
    assert loop.reference_logprobs().T.flatten().tolist() == pytest.approx(stated, rel=1e-5)


def test_the_reference_of_the_library_is_the_plain_loop_s(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    ours, plain = OurTrainer(job), PlainLoop(job, stored=True)
    ours.start()
    plain.start()
    torch.testing.assert_close(ours.reference_logprobs(), plain.reference_logprobs(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("micro", [4, 2], ids=["one part", "two parts a step"])
def test_the_loops_learn_what_the_library_learns(tmp_path: Path, micro: int) -> None:
    job = small_job(tmp_path, micro_batch_size=micro)
    found = {name: run(name, job) for name in (OURS, "plain", "stored")}
    start = {name: weight.detach() for name, weight in start_model(job).named_parameters()}
    assert found[OURS].steps[0].loss == pytest.approx(math.log(2), rel=1e-5)
    assert found[OURS].steps[-1].loss < 0.6, "so little learned that any two sides would be equal"
    for name, side in found.items():
        assert max(differences(side, found[OURS]).values()) < 1e-4, name
        assert weights_apart(side, found[OURS], start)["weights_apart_by_way"] < 0.01, name
        assert side.weights.keys() == found[OURS].weights.keys(), name


def test_in_bf16_the_loops_are_as_near_as_its_rounding_lets_them(tmp_path: Path) -> None:
    job = small_job(tmp_path, precision=Precision.BF16)
    assert 0.0 < max(differences(run("plain", job), run(OURS, job)).values()) < 0.05


def test_a_template_without_beginning_and_end_of_sequence_gives_the_same_tokens(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    assert same_tokens(job)
    processor = AutoProcessor.from_pretrained(job.model)
    template = processor.chat_template.removeprefix("<s>").replace("</s>", " ")
    assert template != processor.chat_template
    processor.chat_template = processor.tokenizer.chat_template = template
    processor.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", processor.tokenizer.bos_token_id)]
    )
    processor.save_pretrained(job.model)
    pair = encoded_pairs(job.model, job.pairs)[0]
    assert pair.prompt[0] == processor.tokenizer.bos_token_id
    assert pair.chosen[-1] == processor.tokenizer.eos_token_id
    assert same_tokens(job)


def test_a_step_apart_is_seen() -> None:
    def side(*steps: tuple[float, float]) -> Trained:
        return Trained(
            start_s=0.0, steps=[Step(loss=a, grad_norm=b) for a, b in steps], wall_s=[], cpu_s=[], weights={}
        )

    found = differences(side((0.69, 40.0), (0.5, 0.1)), side((0.69, 40.4), (0.52, 0.1)))
    assert found["loss"] == pytest.approx(0.02)
    assert found["grad_norm"] == pytest.approx(0.4 / 40.4)
    assert loss_distance(side((0.5, 1.0), (0.6, 1.0)), side((0.5, 1.0), (0.7, 1.0))) == pytest.approx(0.1 / 2**0.5)


def test_the_job_is_dumped_as_it_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench import trainer

    sizes = ["--grids", "2", "--layers", "1", "--pairs", "4", "--epochs", "1", "--rounds", "1", "--batch", "4"]
    kept = [
        "--dump",
        str(tmp_path),
        "--results",
        str(tmp_path / "results.json"),
        "--no-peaks",
        "--dtype",
        "fp32",
        "bf16",
    ]
    monkeypatch.setattr("sys.argv", ["bench.trainer", *sizes, *kept, "--against", "plain"])
    assert trainer.main() == 0
    record = json.loads((tmp_path / "4-fp32" / "steps.json").read_text())
    assert sorted(record["batches"][0]) == [0, 1, 2, 3]
    assert record["sides"]["ours"]["loss"] == pytest.approx(record["sides"]["plain"]["loss"], abs=1e-4)
    fp32, bf16 = json.loads((tmp_path / "results.json").read_text())
    assert fp32["equal"]
    assert fp32["details"]["same_tokens"]
    assert bf16["dtype"] == "bf16"
    assert "loss_rms_from_fp32_ours" in bf16["details"]
    assert "loss_rms_from_fp32_ours" not in fp32["details"]
