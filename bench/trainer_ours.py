"""The library's side of bench.trainer: its own classes, put together as its training run puts them together."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import torch
from torch import Tensor

from bench.trainer_job import Job, Step, loop_settings
from rlaifv.adapters.huggingface.checkpoint import checkpoint_at
from rlaifv.adapters.huggingface.decoder import context_tokens
from rlaifv.adapters.huggingface.loading import load_model
from rlaifv.adapters.huggingface.probe import prove_training
from rlaifv.adapters.huggingface.training_data import load_pairs
from rlaifv.adapters.huggingface.training_model import TrainingModel
from rlaifv.adapters.huggingface.training_run import TrainerOptions
from rlaifv.core.training import Precision
from rlaifv.learning.loop import TrainingLoop
from rlaifv.learning.objectives import DpoObjective, ObjectiveOutput


class OurTrainer:
    """TrainingModel, DpoObjective and TrainingLoop. The reference is computed by `start`, which is timed."""

    def __init__(self, job: Job, options: TrainerOptions | None = None) -> None:
        self._job = job
        self._options = options or TrainerOptions()
        loaded = load_model(checkpoint_at(job.model), Precision.FP32, "cpu")
        padding_reason = prove_training(loaded)
        if padding_reason:
            sys.stderr.write(f"sequences are padded: {padding_reason}\n")
        limit = min(job.hyperparameters.max_tokens, context_tokens(loaded.model))
        self._data = load_pairs(job.pairs, "", loaded, limit)
        if self._data.dropped:
            raise ValueError(f"pairs were left out ({dict(self._data.dropped)}): give the model a longer context")
        options = self._options
        self._model = TrainingModel(
            loaded, self._data, job.hyperparameters, options.feature_bytes, options.pack_tokens, padding_reason
        )
        self._taken: list[int] = []

    @property
    def tokens(self) -> list[tuple[tuple[int, ...], tuple[int, ...], int]]:
        """Ids of prompt and chosen answer, of prompt and rejected answer, and where the answers begin; one entry a pair."""
        return [(pair.chosen.ids, pair.rejected.ids, pair.chosen.answer_start) for pair in self._data.pairs]

    def start(self) -> None:
        """The log-probabilities of all answers under the start model."""
        hyper = self._job.hyperparameters
        reference = self._model.reference(self._options.reference_batch_size)
        self._objective = DpoObjective(
            score=self._model.score, reference=reference, beta=hyper.beta, sft_weight=hyper.sft_weight
        )
        self._loop = TrainingLoop(self._model.parameters, self._noted, loop_settings(hyper, self._data.prompts))
        self._model.train()

    def step(self) -> Step:
        """Raises RuntimeError if the loop took other pairs than the other sides are told to take."""
        self._taken = []
        report = self._loop.run_step()
        if tuple(self._taken) != self._job.batches[report.step - 1]:
            raise RuntimeError(f"step {report.step}: the library's loop took {self._taken}")
        return Step(loss=report.loss, grad_norm=report.grad_norm)

    def weights(self) -> dict[str, Tensor]:
        """See Side."""
        return {name: parameter.detach().clone() for name, parameter in self._model.parameters.items()}

    def reference_logprobs(self) -> Tensor:
        """Chosen and rejected, shape (2, pairs)."""
        reference = self._objective.reference
        return torch.stack([reference.chosen, reference.rejected])

    def _noted(self, examples: Sequence[int]) -> ObjectiveOutput:
        self._taken += examples
        return self._objective(examples)
