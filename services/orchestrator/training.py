"""TRAINING: the pair file becomes a checkpoint. The trainer works by itself; we start it, watch it and note its figures."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import structlog

from rlaifv.adapters.runs import layout
from rlaifv.adapters.runs.records import Entry
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.claims import content_id
from rlaifv.core.drops import merge_counts
from rlaifv.core.errors import BackendFailed, Cancelled, NotFound, RlaifvError
from rlaifv.core.iteration import Stage, Trained
from rlaifv.core.seeds import derive_seed
from rlaifv.core.training import TrainingJob, TrainingPhase, TrainingProgress
from services.orchestrator.asking import PASSING
from services.orchestrator.context import RunContext

log = structlog.stdlib.get_logger(__name__)

_PAUSE_S = 1.0
_FIGURES = (
    "step",
    "total_steps",
    "loss",
    "reward_margin",
    "accuracy",
    "chosen_logprob",
    "rejected_logprob",
    "grad_norm",
    "learning_rate",
    "pairs_per_s",
)


def training_job(context: RunContext, iteration: int, start: Checkpoint, pairs_sha256: str) -> TrainingJob:
    """The iteration's job: its id derives from what it learns, so a repeated start finds the same job."""
    seed = derive_seed(context.run.seed, "training", iteration)
    uri = context.artifacts.uri
    return TrainingJob(
        id=f"{context.name}-{iteration}-{content_id(pairs_sha256, start.digest, str(context.run.training))}",
        policy=start,
        pairs_uri=uri(layout.pairs(iteration)),
        pairs_digest=pairs_sha256,
        output_uri=uri(layout.training(iteration)),
        hyperparameters=context.run.training.hyperparameters(seed),
    )


async def train(context: RunContext, iteration: int, start: Checkpoint) -> Entry:
    """Train on the iteration's pairs from `start`. Raises what ended the job."""

    async def make() -> Entry:
        pairs = await context.find(iteration, "pairs")
        assert pairs is not None, "TRAINING comes after PAIRING"
        job = training_job(context, iteration, start, pairs.details["sha256"])
        noted = Entry(iteration=iteration, key="job", details={"id": job.id})
        await asyncio.to_thread(context.ledger.record, context.name, noted)
        watch = context.stopwatch()
        with watch.at("train"):
            last, steps = await _run(context, iteration, job)
        await context.note_times(watch, iteration)
        assert last.checkpoint is not None, "a finished job has a checkpoint"
        context.metrics.dropped(last.dropped)
        details = {"job": job.id, "dropped": merge_counts([last.dropped]), "figures": _summary(steps)}
        return Entry(iteration=iteration, key="trained", event=Trained(last.checkpoint), details=details)

    return await context.once(iteration, "trained", make)


async def _run(context: RunContext, iteration: int, job: TrainingJob) -> tuple[TrainingProgress, list[dict[str, Any]]]:
    """The job's last report and its figures by step. A trainer that died is asked to go on with the job."""
    steps: dict[int, dict[str, Any]] = {}
    moved_at = time.monotonic()
    while True:
        trouble: RlaifvError = BackendFailed("the trainer ended its reports before the job was over")
        try:
            await context.ports.trainer.start(job)
            async for progress in context.ports.trainer.watch(job.id):
                await _note(context, iteration, progress, steps)
                if progress.over:
                    return _finished(progress), await _write_log(context, iteration, steps)
                moved_at = time.monotonic()
        except (*PASSING, NotFound) as error:
            # A trainer that was restarted knows no job: it is started again and resumes from what is on disk.
            trouble = error
        if time.monotonic() - moved_at > context.patience_s:
            raise trouble
        log.warning("asking the trainer again", job=job.id, reason=trouble.message)
        await asyncio.sleep(_PAUSE_S)


def _finished(progress: TrainingProgress) -> TrainingProgress:
    if progress.phase is TrainingPhase.CANCELLED:
        raise Cancelled(f"the training job was cancelled ({progress.message or 'on request'})")
    if progress.phase is TrainingPhase.FAILED:
        raise progress.error or BackendFailed(f"training failed: {progress.message}")
    if progress.checkpoint is None:
        raise BackendFailed("the trainer says that the job is done, but names no checkpoint")
    return progress


async def _note(
    context: RunContext, iteration: int, progress: TrainingProgress, steps: dict[int, dict[str, Any]]
) -> None:
    figures = {name: getattr(progress, name) for name in _FIGURES}
    shown = {name: figures[name] for name in ("loss", "reward_margin", "accuracy", "pairs_per_s")}
    await context.report(iteration, Stage.TRAINING, progress.step, progress.total_steps, shown)
    # Reports may be skipped: the last step's figures may come with the end of the job only.
    new = progress.step not in steps and progress.loss > 0
    if progress.step > 0 and (new or progress.phase is TrainingPhase.TRAINING):
        steps[progress.step] = figures
        line = json.dumps(figures) + "\n"
        await asyncio.to_thread(context.artifacts.append, layout.training_log(iteration), line.encode())


async def _write_log(context: RunContext, iteration: int, steps: dict[int, dict[str, Any]]) -> list[dict[str, Any]]:
    """Write the log again in order: a resumed job repeats steps, and other processes may have seen earlier ones."""
    name = layout.training_log(iteration)
    if context.artifacts.exists(name):
        for line in context.artifacts.read(name).decode().splitlines():
            try:
                known = json.loads(line)
            except ValueError:
                continue  # torn by a crash
            steps.setdefault(known["step"], known)
    ordered = [steps[step] for step in sorted(steps)]
    lines = "".join(json.dumps(figures) + "\n" for figures in ordered)
    await asyncio.to_thread(context.artifacts.write, name, lines.encode())
    return ordered


def _summary(steps: list[dict[str, Any]]) -> dict[str, float] | None:
    if not steps:
        return None
    speeds = [step["pairs_per_s"] for step in steps if step["pairs_per_s"] > 0]
    return {
        "first_loss": steps[0]["loss"],
        "last_loss": steps[-1]["loss"],
        "reward_margin": steps[-1]["reward_margin"],
        "accuracy": steps[-1]["accuracy"],
        "pairs_per_s": sum(speeds) / len(speeds) if speeds else 0.0,
    }
