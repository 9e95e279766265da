"""A Trainer that counts steps and writes a checkpoint whose digest follows from the job."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

from rlaifv.adapters.fake.folders import write_checkpoint
from rlaifv.core.errors import Conflict, NotFound
from rlaifv.core.training import TrainingJob, TrainingPhase, TrainingProgress


class FakeTrainer:
    """A job has `steps` steps of `step_s` seconds each; its loss falls from ln 2."""

    def __init__(self, steps: int = 4, step_s: float = 0.0) -> None:
        self._steps = steps
        self._step_s = step_s
        self._jobs: dict[str, _Job] = {}

    async def start(self, job: TrainingJob) -> None:
        known = self._jobs.get(job.id)
        if known is None or known.latest.phase in (TrainingPhase.CANCELLED, TrainingPhase.FAILED):
            if known is not None and known.job != job:
                raise Conflict(f"job_id = {job.id!r} names a job with other content: choose another id")
            _refuse_missing(job.pairs_uri)
            self._jobs[job.id] = _Job(job, self._steps, self._step_s)
        elif known.job != job:
            raise Conflict(f"job_id = {job.id!r} names a job with other content: choose another id")

    async def watch(self, job_id: str) -> AsyncIterator[TrainingProgress]:
        job = self._known(job_id)
        shown: TrainingProgress | None = None
        while shown is None or not shown.over:
            shown = await job.after(shown)
            yield shown

    async def cancel(self, job_id: str) -> None:
        self._known(job_id).cancel()

    async def close(self) -> None:
        """Stop all jobs."""
        for job in self._jobs.values():
            job.cancel()
        await asyncio.gather(*(job.task for job in self._jobs.values()), return_exceptions=True)

    def _known(self, job_id: str) -> _Job:
        if job_id not in self._jobs:
            raise NotFound(f"job_id = {job_id!r}: there is no such job; start it first")
        return self._jobs[job_id]


class _Job:
    def __init__(self, job: TrainingJob, steps: int, step_s: float) -> None:
        self.job = job
        self.latest = TrainingProgress(phase=TrainingPhase.PREPARING, total_steps=steps)
        self._step_s = step_s
        self._changed = asyncio.Condition()
        self._cancelled = False
        self.task = asyncio.create_task(self._train())

    def cancel(self) -> None:
        self._cancelled = True

    async def after(self, shown: TrainingProgress | None) -> TrainingProgress:
        """The newest report once it differs from `shown`."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.latest is not shown)
            return self.latest

    async def _train(self) -> None:
        for step in range(1, self.latest.total_steps + 1):
            await asyncio.sleep(self._step_s)
            if self._cancelled:
                return await self._report(replace(self.latest, phase=TrainingPhase.CANCELLED))
            await self._report(
                replace(
                    self.latest,
                    phase=TrainingPhase.TRAINING,
                    step=step,
                    loss=math.log(2) / step,
                    reward_margin=0.1 * (step - 1),
                    accuracy=1 - 0.5 / step,
                    learning_rate=self.job.hyperparameters.learning_rate,
                    pairs_per_s=10.0,
                )
            )
        checkpoint = write_checkpoint(Path(self.job.output_uri), f"{self.job.id} from {self.job.policy.digest}")
        return await self._report(replace(self.latest, phase=TrainingPhase.DONE, checkpoint=checkpoint))

    async def _report(self, progress: TrainingProgress) -> None:
        async with self._changed:
            self.latest = progress
            self._changed.notify_all()


def _refuse_missing(pairs_uri: str) -> None:
    if not Path(pairs_uri).is_file():
        raise NotFound(f"pairs_uri = {pairs_uri!r}: there is no such file")
