"""Turns the reports of every job into metrics, once each, whoever else watches the job or not."""

from __future__ import annotations

import asyncio

from rlaifv.core.errors import RlaifvError
from rlaifv.core.training import TrainingJob
from rlaifv.ports.services import Trainer
from rlaifv.rpc.metrics import TrainerMetrics


class JobFollower:
    """Watches each started job to its end."""

    def __init__(self, trainer: Trainer, metrics: TrainerMetrics) -> None:
        self._trainer = trainer
        self._metrics = metrics
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def follow(self, job: TrainingJob) -> None:
        """Begin, unless the job is followed already."""
        if job.id not in self._tasks:
            task = asyncio.create_task(self._watch(job))
            self._tasks[job.id] = task
            task.add_done_callback(lambda _: self._tasks.pop(job.id, None))

    async def close(self) -> None:
        """Stop watching."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, job: TrainingJob) -> None:
        step: int | None = None
        try:
            async for progress in self._trainer.watch(job.id):
                if step is not None and progress.step > step:
                    self._metrics.pairs.inc((progress.step - step) * job.hyperparameters.batch_size)
                step = progress.step
                self._metrics.reported(progress)
        except RlaifvError:
            # Whoever asked for the job hears of it when they watch it.
            return
