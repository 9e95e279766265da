"""TRL's side of bench.trainer: `DPOTrainer.training_step` on batches that its own collator makes.

TRL takes no stored reference log-probabilities where there are pictures: its reference is a second model, run at every step.
Gradient checkpointing, which TRL turns on unless told otherwise, is off: the other sides do without, and it is faster so.
"""

from __future__ import annotations

import io
import tempfile
import time
import warnings
from dataclasses import asdict
from typing import Any

import torch
from datasets import Dataset
from PIL import Image as PilImage
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from transformers import AutoProcessor
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from bench.trainer_job import Job, Step
from bench.trainer_plain import start_model
from bench.trainer_texts import texts
from rlaifv.adapters.preferences import PreferenceRow, read_preferences


class TrlTrainer:
    """`checkpointing`: activations are computed again in the backward pass, TRL's default."""

    def __init__(self, job: Job, checkpointing: bool = False) -> None:
        self._job = job
        self._done = 0
        self.collating_s = 0.0
        processor = AutoProcessor.from_pretrained(job.model, local_files_only=True)
        rows = [_columns(processor, row) for row in read_preferences(job.pairs)]
        self._folder = tempfile.TemporaryDirectory(prefix="trl-")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._trainer: Any = DPOTrainer(
                model=start_model(job),
                args=_config(job, self._folder.name, checkpointing),
                train_dataset=Dataset.from_list(rows),
                processing_class=processor,
            )
        if checkpointing:  # Trainer.train would do so
            self._trainer.model.gradient_checkpointing_enable()
        self._model, self._optimizer = self._trainer.accelerator.prepare(
            self._trainer.model, self._trainer.create_optimizer()
        )

    def start(self) -> None:
        """Nothing: TRL does all its work at every step."""

    def step(self) -> Step:
        """See Side."""
        parts = self._job.micro_batches(self._done)
        # Set by Trainer.train, which would run all steps at once.
        self._trainer.current_gradient_accumulation_steps = len(parts)
        loss = sum(float(self._trainer.training_step(self._model, self.collated(part))) for part in parts)
        learned = [parameter for parameter in self._model.parameters() if parameter.requires_grad]
        norm = float(clip_grad_norm_(learned, self._job.hyperparameters.max_grad_norm))
        for group in self._optimizer.param_groups:
            group["lr"] = self._job.rate(self._done)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self._done += 1
        return Step(loss=loss, grad_norm=norm)

    def collated(self, pairs: tuple[int, ...]) -> dict[str, Tensor]:
        """What TRL's collator makes of pairs: chosen answers first, then rejected ones; `collating_s` grows."""
        began = time.perf_counter()
        batch: dict[str, Tensor] = self._trainer.data_collator([self._trainer.train_dataset[n] for n in pairs])
        self.collating_s += time.perf_counter() - began
        return batch

    def weights(self) -> dict[str, Tensor]:
        """See Side."""
        named = self._model.named_parameters()
        return {name: parameter.detach().clone() for name, parameter in named if parameter.requires_grad}


def _columns(processor: Any, row: PreferenceRow) -> dict[str, Any]:
    """Texts, not messages: for those TRL would leave out the end of sequence where a chat template does."""
    return {**asdict(texts(processor, row)), "images": [PilImage.open(io.BytesIO(row.image))]}


def _config(job: Job, folder: str, checkpointing: bool) -> DPOConfig:
    hyper = job.hyperparameters
    return DPOConfig(
        output_dir=folder,
        beta=hyper.beta,
        learning_rate=hyper.learning_rate,
        weight_decay=hyper.weight_decay,
        per_device_train_batch_size=hyper.micro_batch_size,
        max_length=None,
        bf16=job.bf16,
        use_cpu=not torch.cuda.is_available(),
        gradient_checkpointing=checkpointing,
        report_to="none",
        disable_tqdm=True,
        seed=hyper.seed,
    )
