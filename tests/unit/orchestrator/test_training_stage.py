"""The training stage and a trainer that dies, fails, is stopped or says nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.errors import BackendFailed, Cancelled, NotFound, RlaifvError, StorageFull, Unavailable
from rlaifv.core.iteration import Trained
from rlaifv.core.training import TrainingJob, TrainingPhase, TrainingProgress
from services.orchestrator import training
from services.orchestrator.collecting import collect_shard
from services.orchestrator.context import RunContext
from services.orchestrator.pairing import build_pairs
from tests.unit.orchestrator.scripted_world import open_context, scripted, write_world

MODEL = Checkpoint(uri="model", digest="d")
STEP = TrainingProgress(phase=TrainingPhase.TRAINING, step=1, total_steps=2, loss=0.5)
DONE = TrainingProgress(
    phase=TrainingPhase.DONE, step=2, total_steps=2, loss=0.25, checkpoint=MODEL, dropped={"too_long": 3}
)


class ScriptedTrainer:
    """Each watch gives the next list of reports, and raises what stands in it."""

    def __init__(self, *watches: list[TrainingProgress | RlaifvError]) -> None:
        self.watches = list(watches)
        self.started: list[TrainingJob] = []

    async def start(self, job: TrainingJob) -> None:
        self.started.append(job)

    async def watch(self, job_id: str) -> AsyncIterator[TrainingProgress]:
        for report in self.watches.pop(0):
            if isinstance(report, RlaifvError):
                raise report
            yield report

    async def cancel(self, job_id: str) -> None:
        return None


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_PAUSE_S", 0.0)


@pytest.fixture
async def begin(tmp_path: Path) -> AsyncIterator[Callable[[ScriptedTrainer], RunContext]]:
    """A run whose pairs are built, with a trainer to be given."""
    write_world(tmp_path)
    context = open_context(tmp_path, change=scripted)
    start = await context.keeper.serve_start(context.run.policy)
    for shard in range(3):
        await collect_shard(context, 1, shard, start)
    await build_pairs(context, 1)

    def with_trainer(trainer: ScriptedTrainer) -> RunContext:
        context.ports = replace(context.ports, trainer=trainer)
        return context

    yield with_trainer
    context.ledger.close()


Begin = Callable[[ScriptedTrainer], RunContext]


async def test_a_trainer_that_forgot_the_job_is_asked_again(begin: Begin) -> None:
    trainer = ScriptedTrainer([STEP, Unavailable("gone")], [NotFound("no such job")], [STEP], [DONE])
    entry = await training.train(begin(trainer), 1, Checkpoint(uri="s", digest="s"))
    assert entry.event == Trained(MODEL)
    assert entry.details["dropped"] == {"too_long": 3}
    assert entry.details["figures"]["first_loss"] == 0.5
    assert entry.details["figures"]["last_loss"] == 0.25
    assert len(trainer.started) == 4
    assert len({job.id for job in trainer.started}) == 1, "always the same job"


@pytest.mark.parametrize(
    ("end", "kind", "message"),
    [
        (
            TrainingProgress(phase=TrainingPhase.FAILED, message="loss is NaN"),
            BackendFailed,
            "training failed: loss is NaN",
        ),
        (TrainingProgress(phase=TrainingPhase.FAILED, error=StorageFull("no room")), StorageFull, "no room"),
        (TrainingProgress(phase=TrainingPhase.CANCELLED), Cancelled, "the training job was cancelled"),
        (TrainingProgress(phase=TrainingPhase.DONE), BackendFailed, "names no checkpoint"),
    ],
)
async def test_what_ends_the_job_ends_the_stage(
    begin: Begin, end: TrainingProgress, kind: type[RlaifvError], message: str
) -> None:
    context = begin(ScriptedTrainer([STEP, end]))
    with pytest.raises(kind, match=message):
        await training.train(context, 1, Checkpoint(uri="s", digest="s"))
    assert context.ledger.find("tiny", 1, "trained") is None, "the stage can be tried again"


async def test_patience_with_the_trainer_ends(begin: Begin) -> None:
    context = begin(ScriptedTrainer(*[[Unavailable("the trainer is down")]] * 5))
    context.patience_s = 0.0
    with pytest.raises(Unavailable, match="the trainer is down"):
        await training.train(context, 1, Checkpoint(uri="s", digest="s"))


async def test_a_torn_log_of_an_earlier_process_is_mended(begin: Begin) -> None:
    context = begin(ScriptedTrainer([DONE]))
    context.artifacts.append(
        "iterations/1/training.jsonl", b'{"step": 1, "loss": 0.6, "pairs_per_s": 0}\n{"step": 2, "lo'
    )
    entry = await training.train(context, 1, Checkpoint(uri="s", digest="s"))
    assert (entry.details["figures"]["first_loss"], entry.details["figures"]["last_loss"]) == (0.6, 0.25)
    assert context.artifacts.read("iterations/1/training.jsonl").decode().count("\n") == 2
