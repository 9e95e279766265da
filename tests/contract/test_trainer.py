"""What every Trainer does, whatever is behind it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rlaifv.adapters.fake.trainer import FakeTrainer
from rlaifv.adapters.preferences import PreferenceRow, write_preferences
from rlaifv.adapters.remote.trainer import RemoteTrainer
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.errors import Conflict, NotFound
from rlaifv.core.training import Hyperparameters, Precision, TrainingJob, TrainingPhase
from rlaifv.ports.services import Trainer
from services.trainer.settings import TrainerSettings
from tests.serving import picture, serving


@pytest.fixture
async def trainer(kind: str) -> AsyncIterator[Any]:
    async with AsyncExitStack() as stack:
        if kind == "fake":
            local: Any = FakeTrainer(step_s=0.01)
        elif kind == "huggingface":
            from rlaifv.adapters.huggingface.trainer import HuggingFaceTrainer

            local = HuggingFaceTrainer()
        else:
            settings = TrainerSettings(backend=kind.removeprefix("remote "), fake_step_ms=10)
            server = await stack.enter_async_context(serving(settings))
            local = RemoteTrainer(server.target, patience_s=5)
        stack.push_async_callback(local.close)
        yield local


@pytest.fixture
def job(checkpoints: tuple[Path, Path], tmp_path: Path) -> TrainingJob:
    rows = [
        PreferenceRow(
            image=picture(c).data, question="What is it?", chosen=f"A {c} car.", rejected="Two cups and a dog."
        )
        for c in ("red", "blue", "green", "yellow")
    ]
    write_preferences(tmp_path / "pairs.parquet", rows)
    hyperparameters = Hyperparameters(
        epochs=1, batch_size=2, micro_batch_size=1, learning_rate=1e-4, precision=Precision.FP32
    )
    return TrainingJob(
        id="job-1",
        policy=Checkpoint(uri=str(checkpoints[0]), digest=""),
        pairs_uri=str(tmp_path / "pairs.parquet"),
        output_uri=str(tmp_path / "out"),
        hyperparameters=hyperparameters,
    )


async def test_a_job_ends_with_a_new_checkpoint(trainer: Trainer, job: TrainingJob) -> None:
    await trainer.start(job)
    reports = [progress async for progress in trainer.watch(job.id)]
    last = reports[-1]
    assert last.phase is TrainingPhase.DONE, last.message
    assert [report for report in reports if report.over] == [last]
    assert last.step == last.total_steps > 0
    assert last.checkpoint is not None
    assert "config.json" in files_in(last.checkpoint.uri)
    assert last.checkpoint.digest
    again = [progress async for progress in trainer.watch(job.id)]
    assert again[-1].checkpoint == last.checkpoint


async def test_the_same_job_goes_on_and_another_of_its_name_is_refused(trainer: Trainer, job: TrainingJob) -> None:
    await trainer.start(job)
    await trainer.start(job)
    with pytest.raises(Conflict, match="job-1"):
        await trainer.start(replace(job, hyperparameters=replace(job.hyperparameters, beta=0.5)))
    async for _ in trainer.watch(job.id):
        pass


async def test_an_unknown_job_is_not_found(trainer: Trainer, job: TrainingJob) -> None:
    with pytest.raises(NotFound, match="job-2"):
        async for _ in trainer.watch("job-2"):
            pass
    with pytest.raises(NotFound, match="job-2"):
        await trainer.cancel("job-2")
    with pytest.raises(NotFound, match="no-such-file"):
        await trainer.start(replace(job, pairs_uri="/no-such-file"))


async def test_a_cancelled_job_says_so_and_can_go_on(trainer: Trainer, job: TrainingJob) -> None:
    long = replace(job, hyperparameters=replace(job.hyperparameters, epochs=200))
    await trainer.start(long)
    await trainer.cancel(long.id)
    phases = [progress.phase async for progress in trainer.watch(long.id)]
    assert phases[-1] is TrainingPhase.CANCELLED
    await trainer.cancel(long.id)


def files_in(uri: str) -> list[str]:
    return os.listdir(uri)
