"""TRL as a side of the trainer's bench: it is told the same, and finds the same. `make bench` installs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.trainer_case import OURS
from bench.trainer_comparison import differences, weights_apart
from bench.trainer_plain import start_model
from bench.trainer_texts import encoded_pairs
from rlaifv.core.training import Precision
from tests.unit.bench.trainer_job import run, small_job

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


def test_trl_is_given_the_same_tokens(tmp_path: Path) -> None:
    from bench.trainer_trl import TrlTrainer

    job = small_job(tmp_path)
    pairs = encoded_pairs(job.model, job.pairs)
    batch = TrlTrainer(job).collated((3, 0))
    for row, (number, side) in enumerate([(3, "chosen"), (0, "chosen"), (3, "rejected"), (0, "rejected")]):
        answer = getattr(pairs[number], side)
        real = batch["attention_mask"][row].bool()
        assert batch["input_ids"][row][real].tolist() == pairs[number].prompt + answer
        assert batch["completion_mask"][row].sum() == len(answer)


@pytest.mark.parametrize("micro", [4, 2], ids=["one part", "two parts a step"])
@pytest.mark.parametrize("side", ["trl", "trl-checkpointing"])
def test_trl_learns_what_the_library_learns(tmp_path: Path, side: str, micro: int) -> None:
    job = small_job(tmp_path, micro_batch_size=micro)
    theirs, ours = run(side, job), run(OURS, job)
    start = {name: weight.detach() for name, weight in start_model(job).named_parameters()}
    assert max(differences(theirs, ours).values()) < 1e-4
    assert weights_apart(theirs, ours, start)["weights_apart_by_way"] < 0.01
    assert theirs.weights.keys() == ours.weights.keys()


def test_in_bf16_trl_is_as_near_as_its_rounding_lets_it(tmp_path: Path) -> None:
    job = small_job(tmp_path, precision=Precision.BF16)
    assert 0.0 < max(differences(run("trl", job), run(OURS, job)).values()) < 0.05
