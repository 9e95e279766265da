"""A training in a process of its own that stops at a stated point and waits there to be killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from multiprocessing.connection import Connection

import torch

from rlaifv.adapters.huggingface.training_run import TrainerOptions, run_training
from rlaifv.core.training import TrainingJob, TrainingPhase, TrainingProgress

Point = tuple[TrainingPhase, int]
"""A phase, and the number of finished steps at which it is seen."""

# One fresh process imports torch and transformers; the children are its forks and begin at once.
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([__name__])


def _train(job: TrainingJob, save_every_steps: int, point: Point, reached: Connection) -> None:
    torch.set_num_threads(1)

    def report(progress: TrainingProgress) -> None:
        if (progress.phase, progress.step) == point:
            reached.send(point)
            time.sleep(600)

    run_training(job, TrainerOptions(save_every_steps=save_every_steps), report)


def train_and_kill(job: TrainingJob, save_every_steps: int, point: Point) -> None:
    """Run the job in another process and end that with SIGKILL when it is at `point`."""
    here, there = _context.Pipe()
    process = _context.Process(target=_train, args=(job, save_every_steps, point, there))
    process.start()
    there.close()
    try:
        assert here.recv() == point
    finally:
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        here.close()
    assert process.exitcode == -signal.SIGKILL
    process.close()
