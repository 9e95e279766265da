"""A job of a few seconds for the tests of bench.trainer's sides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.checkpoints import Size, make_checkpoint
from bench.preference_data import write_pairs
from bench.trainer_case import SIDES, Trained
from bench.trainer_job import Job, job_of
from rlaifv.core.training import Hyperparameters, Precision

SIZE = Size(grid=2, layers=2, width=64, vocabulary=1024, vision_layers=1, vision_width=64)


def small_job(folder: Path, *, pairs: int = 6, **changes: Any) -> Job:
    """Six pairs about three pictures, four a step, two epochs of two steps; the second step of an epoch has two pairs."""
    chosen: dict[str, Any] = {
        "learning_rate": 1e-3,
        "epochs": 2,
        "batch_size": 4,
        "micro_batch_size": 4,
        "precision": Precision.FP32,
    }
    model = make_checkpoint(folder / "model", SIZE, seed=1)
    return job_of(model, write_pairs(folder / "pairs.parquet", pairs, seed=1), Hyperparameters(**{**chosen, **changes}))


def run(name: str, job: Job) -> Trained:
    """All steps of a job by one side."""
    side = SIDES[name](job)
    side.start()
    steps = [side.step() for _ in job.batches]
    return Trained(start_s=0.0, steps=steps, wall_s=[], cpu_s=[], weights=side.weights())
