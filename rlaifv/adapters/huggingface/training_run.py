"""One training job from its pair file to its model folder, in the caller's thread; killed at any point, it goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog
import torch

from rlaifv.adapters.huggingface.checkpoint import checkpoint_at
from rlaifv.adapters.huggingface.decoder import context_tokens
from rlaifv.adapters.huggingface.job_folder import JobFolder, free_bytes
from rlaifv.adapters.huggingface.loading import LoadedModel, load_model
from rlaifv.adapters.huggingface.probe import prove_training
from rlaifv.adapters.huggingface.training_data import SEQUENCE_VERSION, PairData, load_pairs
from rlaifv.adapters.huggingface.training_model import TrainingModel
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.errors import Cancelled
from rlaifv.core.training import Precision, TrainingJob, TrainingPhase, TrainingProgress
from rlaifv.learning.loop import LoopSettings, StepReport, TrainingLoop
from rlaifv.learning.objectives import DpoObjective, PairLogprobs

log = structlog.get_logger(__name__)

Report = Callable[[TrainingProgress], None]
_METRICS = (
    "step",
    "loss",
    "reward_margin",
    "accuracy",
    "chosen_logprob",
    "rejected_logprob",
    "grad_norm",
    "learning_rate",
    "pairs_per_s",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerOptions:
    """How jobs run. A state is saved every `save_every_steps` steps and at least every `save_every_s` seconds.

    At most `pack_tokens` tokens go through the model at once, unless one prompt with one answer has more; where a model's
    sequences cannot be packed, reference log-probabilities take `reference_batch_size` pairs at once. `feature_bytes` bounds the
    picture features kept in memory; `free` tells the bytes left on a folder's file system. `threads` is torch's number of CPU
    threads (None: as torch finds). A resume has the same bits only with the same threads and `pack_tokens`.
    """

    device: str = "cpu"
    threads: int | None = None
    save_every_steps: int = 50
    save_every_s: float = 300.0
    pack_tokens: int = 8192
    reference_batch_size: int = 4
    feature_bytes: int = 1 << 30
    free: Callable[[Path], int] = free_bytes


def run_training(
    job: TrainingJob,
    options: TrainerOptions,
    report: Report = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Checkpoint:
    """Train, or go on where an earlier process was killed; the result has the same bits either way.

    `report` gets progress after every step. Raises Cancelled when `should_stop()` was true between two steps (what is trained
    is saved first), Conflict, InvalidInput, NotFound, DataLoss, StorageFull or BackendFailed; all leave the folder resumable.
    """
    if options.threads:
        torch.set_num_threads(options.threads)
    progress = TrainingProgress(phase=TrainingPhase.PREPARING)
    report(progress)
    folder = JobFolder(Path(job.output_uri.removeprefix("file://")), job, options.free)
    folder.claim()
    if (digest := folder.done()) is not None:
        checkpoint = Checkpoint(uri=str(folder.model), digest=digest)
        report(_done(folder, checkpoint, progress))
        return checkpoint
    run = _Run(job, options, folder)
    try:
        for progress in run.steps(should_stop):
            report(progress)
    finally:
        run.keep_metrics()
    if not run.loop.done:
        run.save_state()
        raise Cancelled(f"job {job.id!r} was stopped at step {run.loop.step} of {run.loop.settings.total_steps}")
    report(replace(progress, phase=TrainingPhase.SAVING))
    checkpoint = run.finish()
    report(replace(progress, phase=TrainingPhase.DONE, checkpoint=checkpoint))
    return checkpoint


class _Run:
    """Everything a running job holds in memory."""

    def __init__(self, job: TrainingJob, options: TrainerOptions, folder: JobFolder) -> None:
        hyper = job.hyperparameters
        loaded = load_model(job.policy, Precision.FP32, options.device)
        padding_reason = prove_training(loaded)
        self._note = padding_reason and f"every answer is read with its prompt, padded: {padding_reason}"
        log.info("training_layout", job=job.id, layout="padded" if padding_reason else "packed", reason=padding_reason)
        limit = min(hyper.max_tokens, context_tokens(loaded.model))
        data = load_pairs(Path(job.pairs_uri.removeprefix("file://")), job.pairs_digest, loaded, limit)
        self._options = options
        self._folder = folder
        self._dropped = dict(data.dropped)
        self._model = TrainingModel(loaded, data, hyper, options.feature_bytes, options.pack_tokens, padding_reason)
        reference = self._reference(_stamp(job, loaded, data, limit, padding_reason))
        objective = DpoObjective(
            score=self._model.score, reference=reference, beta=hyper.beta, sft_weight=hyper.sft_weight
        )
        self.loop = TrainingLoop(
            self._model.parameters,
            objective,
            LoopSettings(
                examples=len(data.pairs),
                epochs=hyper.epochs,
                batch_size=hyper.batch_size,
                micro_batch_size=hyper.micro_batch_size,
                learning_rate=hyper.learning_rate,
                warmup_ratio=hyper.warmup_ratio,
                weight_decay=hyper.weight_decay,
                max_grad_norm=hyper.max_grad_norm,
                seed=hyper.seed,
                groups=data.prompts,
            ),
        )
        state = folder.newest_state()
        if state is not None:
            self.loop.load_state(state)
            log.info("training_resumed", job=job.id, step=self.loop.step)
        self._resumed_from = self.loop.step
        self._metrics = folder.metrics(self.loop.step)

    def _reference(self, stamp: dict[str, Any]) -> PairLogprobs:
        found = self._folder.reference(stamp)
        if found is None:
            found = self._model.reference(self._options.reference_batch_size)
            self._folder.save_reference(found, stamp)
        return found

    def steps(self, should_stop: Callable[[], bool]) -> Iterator[TrainingProgress]:
        """Progress at the start and after every step; saves states on the way."""
        self._model.train()
        progress = TrainingProgress(
            phase=TrainingPhase.TRAINING,
            message=self._note,
            step=self.loop.step,
            total_steps=self.loop.settings.total_steps,
            dropped=self._dropped,
            resumed_from_step=self._resumed_from,
        )
        yield progress
        began = saved = time.monotonic()
        pairs = 0
        for step in self.loop.run(should_stop):
            pairs += step.examples
            now = time.monotonic()
            progress = _progress(progress, step, pairs / max(now - began, 1e-9))
            self._metrics.append(_line(progress))
            if not self.loop.done and self._is_due(now - saved):
                self.save_state()
                saved = now
            yield progress

    def _is_due(self, since_s: float) -> bool:
        return self.loop.step % self._options.save_every_steps == 0 or since_s >= self._options.save_every_s

    def save_state(self) -> None:
        """Keep the present state, metrics first: they may run ahead of the state, never behind."""
        self.keep_metrics()
        self._folder.save_state(self.loop.state())

    def keep_metrics(self) -> None:
        self._folder.write_metrics(self._metrics)

    def finish(self) -> Checkpoint:
        """Write the adapter's folder, if there is one, and the model's, then mark the job as done."""
        self._folder.require_room(self._model.stored_bytes)
        self._model.save_adapter(self._folder.adapter)
        self._model.save(self._folder.model)
        checkpoint = checkpoint_at(self._folder.model)
        self._folder.finish(checkpoint.digest)
        return checkpoint


def _stamp(job: TrainingJob, loaded: LoadedModel, data: PairData, limit: int, padding_reason: str) -> dict[str, Any]:
    """All that reference log-probabilities depend on; the chat template is part of the model's digest."""
    return {
        "model_digest": loaded.digest,
        "data_digest": data.digest,
        "sequence_version": SEQUENCE_VERSION,
        "layout": "padded" if padding_reason else "packed",
        "max_tokens": limit,
        "precision": str(job.hyperparameters.precision),
        "pairs": len(data.pairs),
    }


def _progress(before: TrainingProgress, step: StepReport, pairs_per_s: float) -> TrainingProgress:
    return replace(
        before,
        step=step.step,
        loss=step.metrics["dpo_loss"],
        grad_norm=step.grad_norm,
        learning_rate=step.learning_rate,
        pairs_per_s=pairs_per_s,
        reward_margin=step.metrics["reward_margin"],
        accuracy=step.metrics["accuracy"],
        chosen_logprob=step.metrics["chosen_logprob"],
        rejected_logprob=step.metrics["rejected_logprob"],
    )


def _line(progress: TrainingProgress) -> dict[str, Any]:
    return {name: getattr(progress, name) for name in _METRICS}


def _done(folder: JobFolder, checkpoint: Checkpoint, progress: TrainingProgress) -> TrainingProgress:
    last = folder.metrics(up_to_step=1 << 62)[-1:]
    return replace(progress, phase=TrainingPhase.DONE, checkpoint=checkpoint, **(last[0] if last else {}))
