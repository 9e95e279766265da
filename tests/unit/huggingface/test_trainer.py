"""Training jobs: what is learned, what is refused, who may watch."""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rlaifv.adapters.huggingface.loading import load_model
from rlaifv.adapters.huggingface.trainer import HuggingFaceTrainer
from rlaifv.adapters.huggingface.training_data import load_pairs
from rlaifv.adapters.huggingface.training_model import TrainingModel
from rlaifv.adapters.huggingface.training_run import TrainerOptions, run_training
from rlaifv.adapters.preferences import PreferenceRow
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.errors import Cancelled, Conflict, InvalidInput, NotFound, StorageFull
from rlaifv.core.training import Hyperparameters, Precision, TrainingPhase, TrainingProgress
from tests.tiny_llava import picture
from tests.unit.huggingface.training_jobs import FULL, LORA, STEPS, job, pair_file, weights


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pairs") / "pairs.parquet"
    pair_file(path)
    return path


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    """The parts of the model with a weight that moved."""
    parts = {"vision_tower", "multi_modal_projector", "language_model", "lm_head"}
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    return {part for part in parts for name in moved if part in name}


@pytest.mark.parametrize(
    ("hyper", "expected"),
    [
        (FULL, {"multi_modal_projector", "language_model", "lm_head"}),
        (replace(FULL, train_vision=True), {"vision_tower", "multi_modal_projector", "language_model", "lm_head"}),
        (LORA, {"language_model"}),
    ],
    ids=["full", "full-with-vision", "lora"],
)
def test_what_learns(
    hyper: Hyperparameters, expected: set[str], tmp_path: Path, checkpoint: Checkpoint, pairs: Path
) -> None:
    reports: list[TrainingProgress] = []
    run_training(job(tmp_path, checkpoint, hyper, pairs), TrainerOptions(), reports.append)
    assert changed(weights(Path(checkpoint.uri)), weights(tmp_path / "model")) == expected
    steps = [report for report in reports if report.step]
    assert steps[0].loss == pytest.approx(math.log(2.0), abs=1e-5)
    assert steps[0].reward_margin == pytest.approx(0.0, abs=1e-4)
    assert steps[-1].loss < 0.6
    assert steps[-1].accuracy > 0.7
    assert steps[-1].pairs_per_s > 0
    phases = [report.phase for report in reports]
    assert list(dict.fromkeys(phases)) == [
        TrainingPhase.PREPARING,
        TrainingPhase.TRAINING,
        TrainingPhase.SAVING,
        TrainingPhase.DONE,
    ]


def test_bf16_learns_and_is_stored_as_the_start_was(tmp_path: Path, checkpoint: Checkpoint, pairs: Path) -> None:
    reports: list[TrainingProgress] = []
    run_training(
        job(tmp_path, checkpoint, replace(FULL, precision=Precision.BF16), pairs), TrainerOptions(), reports.append
    )
    assert reports[-1].loss < 0.6
    assert json.loads((tmp_path / "model" / "config.json").read_text())["dtype"] == "float32"


def test_log_probabilities_equal_a_plain_forward(checkpoint: Checkpoint, pairs: Path) -> None:
    """Kept features, padding and the answer-only head against pixels, one sequence at a time, over the whole vocabulary."""
    loaded = load_model(checkpoint)
    data = load_pairs(pairs, "", loaded, 256)
    for hyper in (FULL, replace(FULL, train_vision=True), LORA):
        loaded = load_model(checkpoint)
        found = TrainingModel(loaded, data, hyper).reference(batch_size=5)
        plain = load_model(checkpoint).model
        for number in (0, 7, 17):
            pair = data.pairs[number]
            for side, value in ((pair.chosen, found.chosen[number]), (pair.rejected, found.rejected[number])):
                ids = torch.tensor([side.ids])
                with torch.no_grad():
                    logits = plain(input_ids=ids, **data.prepare(pair.image).inputs).logits[0]
                at = torch.arange(side.answer_start, len(side.ids))
                naive = logits.log_softmax(-1)[at - 1, ids[0, at]].sum()
                assert float(value) == pytest.approx(float(naive), abs=1e-3)


def test_bad_and_long_pairs_are_dropped_and_counted(tmp_path: Path, checkpoint: Checkpoint) -> None:
    good = PreferenceRow(image=picture(), question="What?", chosen="a", rejected="b")
    extra = [
        replace(good, chosen="word " * 300),
        replace(good, rejected="word " * 300),
        replace(good, image=b"junk"),
        replace(good, question="<image>"),
    ]
    digest = pair_file(tmp_path / "pairs.parquet", extra)
    reports: list[TrainingProgress] = []
    run_training(
        job(tmp_path / "out", checkpoint, FULL, tmp_path / "pairs.parquet", pairs_digest=digest),
        TrainerOptions(),
        reports.append,
    )
    assert reports[-1].dropped == {"too_long": 2, "bad_prompt": 2}
    assert reports[-1].total_steps == STEPS


def test_nothing_left_to_learn_from(tmp_path: Path, checkpoint: Checkpoint, pairs: Path) -> None:
    with pytest.raises(InvalidInput, match="too_long"):
        run_training(job(tmp_path, checkpoint, replace(FULL, max_tokens=12), pairs), TrainerOptions())


def test_lora_does_not_go_with_a_learning_tower(tmp_path: Path, checkpoint: Checkpoint, pairs: Path) -> None:
    with pytest.raises(InvalidInput, match="train_vision"):
        run_training(job(tmp_path, checkpoint, replace(LORA, train_vision=True), pairs), TrainerOptions())


def test_a_changed_pair_file_is_refused(tmp_path: Path, checkpoint: Checkpoint, pairs: Path) -> None:
    with pytest.raises(Conflict, match="pairs_digest"):
        run_training(job(tmp_path, checkpoint, FULL, pairs, pairs_digest="0" * 64), TrainerOptions())


def test_a_full_disk_loses_nothing(tmp_path: Path, checkpoint: Checkpoint, pairs: Path) -> None:
    room = iter([1 << 40, 0])
    work = job(tmp_path, checkpoint, FULL, pairs)
    with pytest.raises(StorageFull, match="make room"):
        run_training(work, TrainerOptions(save_every_steps=3, free=lambda folder: next(room)))
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000003"]
    assert not (tmp_path / "model").exists()
    reports: list[TrainingProgress] = []
    run_training(work, TrainerOptions(), reports.append)
    assert reports[-1].phase is TrainingPhase.DONE
    assert reports[-1].resumed_from_step == 3


def test_stopping_keeps_what_is_trained(tmp_path: Path, checkpoint: Checkpoint, pairs: Path) -> None:
    work = job(tmp_path, checkpoint, FULL, pairs)
    asked = iter([False] * 4 + [True])
    with pytest.raises(Cancelled, match="step 4"):
        run_training(work, TrainerOptions(), should_stop=lambda: next(asked))
    reports: list[TrainingProgress] = []
    run_training(work, TrainerOptions(), reports.append)
    assert reports[-1].resumed_from_step == 4


async def watched(trainer: HuggingFaceTrainer, job_id: str) -> list[TrainingProgress]:
    return [progress async for progress in trainer.watch(job_id)]


async def test_any_number_of_watchers(tmp_path: Path, checkpoint: Checkpoint, pairs: Path) -> None:
    trainer = HuggingFaceTrainer()
    work = job(tmp_path, checkpoint, FULL, pairs)
    await trainer.start(work)
    await trainer.start(work)
    early = await asyncio.gather(*(watched(trainer, "job") for _ in range(3)))
    for reports in early:
        assert reports[-1].phase is TrainingPhase.DONE
        assert [r.step for r in reports if r.phase is TrainingPhase.TRAINING and r.step] == list(range(1, STEPS + 1))
    late = await watched(trainer, "job")
    assert late == [early[0][-1]]
    assert late[0].checkpoint is not None
    assert load_model(late[0].checkpoint).digest == late[0].checkpoint.digest
    await trainer.close()
    again = HuggingFaceTrainer()
    await again.start(work)
    found = (await watched(again, "job"))[-1]
    assert (found.checkpoint, found.loss) == (late[0].checkpoint, late[0].loss)
    await again.close()


async def test_cancel_and_go_on(tmp_path: Path, checkpoint: Checkpoint, pairs: Path) -> None:
    trainer = HuggingFaceTrainer()
    work = job(tmp_path, checkpoint, replace(FULL, epochs=50), pairs)
    await trainer.start(work)
    async for progress in trainer.watch("job"):
        if progress.step == 3:
            await trainer.cancel("job")
        last = progress
    assert last.phase is TrainingPhase.CANCELLED
    assert 3 <= last.step < 250
    await trainer.cancel("job")
    await trainer.start(work)
    async for progress in trainer.watch("job"):
        if progress.phase is TrainingPhase.TRAINING:
            assert progress.resumed_from_step == last.step
            break
    await trainer.close()


async def test_jobs_run_one_after_the_other(tmp_path: Path, checkpoint: Checkpoint, pairs: Path) -> None:
    trainer = HuggingFaceTrainer()
    for name in ("a", "b"):
        await trainer.start(job(tmp_path / name, checkpoint, FULL, pairs, job_id=name))
    results = await asyncio.gather(watched(trainer, "a"), watched(trainer, "b"))
    assert results[0][-1].checkpoint is not None
    assert results[1][-1].checkpoint is not None
    assert results[0][-1].checkpoint.digest == results[1][-1].checkpoint.digest
    await trainer.close()


async def test_refusals(tmp_path: Path, checkpoint: Checkpoint, pairs: Path) -> None:
    trainer = HuggingFaceTrainer()
    work = job(tmp_path / "job", checkpoint, FULL, pairs)
    with pytest.raises(NotFound, match="none"):
        await watched(trainer, "none")
    with pytest.raises(NotFound):
        await trainer.cancel("none")
    with pytest.raises(NotFound, match="pairs_uri"):
        await trainer.start(replace(work, pairs_uri=str(tmp_path / "none.parquet")))
    with pytest.raises(NotFound, match=r"checkpoint\.uri"):
        await trainer.start(replace(work, policy=Checkpoint(uri=str(tmp_path / "none"), digest="")))
    await trainer.start(work)
    with pytest.raises(Conflict, match="other content"):
        await trainer.start(replace(work, hyperparameters=LORA))
    with pytest.raises(Conflict, match="other content"):
        await trainer.start(replace(work, id="second"))
    await trainer.close()


async def test_a_failed_job_says_why(tmp_path: Path, checkpoint: Checkpoint, pairs: Path) -> None:
    trainer = HuggingFaceTrainer()
    await trainer.start(job(tmp_path, checkpoint, FULL, pairs, pairs_digest="0" * 64))
    last = (await watched(trainer, "job"))[-1]
    assert last.phase is TrainingPhase.FAILED
    assert isinstance(last.error, Conflict)
    assert "pairs_digest" in last.message
    await trainer.close()
