"""What every side of bench.trainer is told, and what it tells back after a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import Parameter

from rlaifv.adapters.preferences import read_preferences
from rlaifv.core.training import Hyperparameters, Precision
from rlaifv.learning.loop import LoopSettings, TrainingLoop
from rlaifv.learning.objectives import ObjectiveOutput
from rlaifv.learning.schedule import learning_rate

Batches = tuple[tuple[int, ...], ...]
"""Row numbers of the pair file, step by step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Mean loss over the pairs of a step, and the norm of its gradient before clipping."""

    loss: float
    grad_norm: float


class Side(Protocol):
    """One way of training on a job. Made (model loaded, optimiser ready) outside of what is timed."""

    def start(self) -> None:
        """All that is done once a job, before its first step."""
        ...

    def step(self) -> Step:
        """The next optimiser step, from reading the pairs of its batch to the new weights."""
        ...

    def weights(self) -> dict[str, Tensor]:
        """The weights that learn, as they are now, by name."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """DPO of the model in a folder on a Parquet file of pairs, with the paper's hyperparameters but for the learning rate.

    Models of some million weights want more than a 7B one; with too little nothing moves and any two sides are equal.
    """

    model: Path
    pairs: Path
    hyperparameters: Hyperparameters
    batches: Batches = field(repr=False)

    def rate(self, step: int) -> float:
        """The learning rate of a step, from 0."""
        hyper = self.hyperparameters
        return learning_rate(step, len(self.batches), hyper.learning_rate, hyper.warmup_ratio)

    def micro_batches(self, step: int) -> list[tuple[int, ...]]:
        """The pairs of a step, in the parts that go through the model at once."""
        batch, size = self.batches[step], self.hyperparameters.micro_batch_size
        return [batch[start : start + size] for start in range(0, len(batch), size)]

    @property
    def bf16(self) -> bool:
        return self.hyperparameters.precision is Precision.BF16


def job_of(model: Path, pairs: Path, hyperparameters: Hyperparameters) -> Job:
    """The job, its batches in the library's own order: the pairs of a prompt stay together."""
    numbers: dict[tuple[bytes, str], int] = {}
    prompts = [numbers.setdefault((row.image, row.question), len(numbers)) for row in read_preferences(pairs)]
    settings = loop_settings(hyperparameters, prompts)
    return Job(model=model, pairs=pairs, hyperparameters=hyperparameters, batches=_batches(settings))


def loop_settings(hyper: Hyperparameters, prompts: Sequence[int]) -> LoopSettings:
    """The library's loop, set as its training run sets it; `prompts` has the number of every pair's prompt."""
    return LoopSettings(
        examples=len(prompts),
        groups=tuple(prompts),
        epochs=hyper.epochs,
        batch_size=hyper.batch_size,
        micro_batch_size=hyper.micro_batch_size,
        learning_rate=hyper.learning_rate,
        warmup_ratio=hyper.warmup_ratio,
        weight_decay=hyper.weight_decay,
        max_grad_norm=hyper.max_grad_norm,
        seed=hyper.seed,
    )


def _batches(settings: LoopSettings) -> Batches:
    """Which pairs the library's loop takes at every step: it is run over a model of one weight."""
    weight = Parameter(torch.zeros(1))
    taken: list[list[int]] = []

    def note(examples: Sequence[int]) -> ObjectiveOutput:
        taken[-1] += examples
        return ObjectiveOutput(loss=weight.expand(len(examples)))

    loop = TrainingLoop({"weight": weight}, note, settings)
    while not loop.done:
        taken.append([])
        loop.run_step()
    return tuple(tuple(step) for step in taken)
