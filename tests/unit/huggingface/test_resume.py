"""A training killed with SIGKILL goes on, and ends with the very bits of one that was not killed (reference fault 16)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import structlog
from safetensors.torch import load_file, save_file

from rlaifv.adapters.huggingface.checkpoint import ADAPTER_WEIGHTS
from rlaifv.adapters.huggingface.training_run import TrainerOptions, run_training
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.errors import Conflict, DataLoss
from rlaifv.core.training import Hyperparameters, TrainingJob, TrainingPhase, TrainingProgress
from tests.unit.huggingface.training_child import Point, train_and_kill
from tests.unit.huggingface.training_jobs import FULL, LORA, STEPS, job, pair_file

MODES = {"full": FULL, "lora": LORA}
KILL_POINTS: dict[str, Point] = {
    "before-the-first-state": (TrainingPhase.TRAINING, 2),
    "in-the-second-epoch": (TrainingPhase.TRAINING, 8),
    "while-saving-the-model": (TrainingPhase.SAVING, STEPS),
}
SAVE_EVERY = 3


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pairs") / "pairs.parquet"
    pair_file(path)
    return path


@pytest.fixture(scope="module")
def uninterrupted(
    tmp_path_factory: pytest.TempPathFactory, checkpoint: Checkpoint, pairs: Path
) -> dict[str, Checkpoint]:
    """Each mode's result, with no state saved on the way."""
    return {
        mode: run_training(job(tmp_path_factory.mktemp(mode), checkpoint, hyper, pairs), TrainerOptions())
        for mode, hyper in MODES.items()
    }


def resume(work: TrainingJob) -> tuple[str, list[TrainingProgress]]:
    reports: list[TrainingProgress] = []
    result = run_training(work, TrainerOptions(save_every_steps=SAVE_EVERY), reports.append)
    assert reports[-1].checkpoint == result
    return result.digest, reports


@pytest.mark.parametrize("point", KILL_POINTS.values(), ids=KILL_POINTS)
@pytest.mark.parametrize("mode", MODES)
def test_killed_and_resumed(
    mode: str, point: Point, tmp_path: Path, checkpoint: Checkpoint, pairs: Path, uninterrupted: dict[str, Checkpoint]
) -> None:
    work = job(tmp_path, checkpoint, MODES[mode], pairs)
    train_and_kill(work, SAVE_EVERY, point)
    digest, reports = resume(work)
    assert digest == uninterrupted[mode].digest
    adapters = [folder / "adapter" / ADAPTER_WEIGHTS for folder in (tmp_path, Path(uninterrupted[mode].uri).parent)]
    assert [path.exists() for path in adapters] == [mode == "lora"] * 2
    assert mode == "full" or adapters[0].read_bytes() == adapters[1].read_bytes()
    assert reports[-1].resumed_from_step == point[1] // SAVE_EVERY * SAVE_EVERY
    steps = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, STEPS + 1))


def killed_at_eight(folder: Path, checkpoint: Checkpoint, pairs: Path, hyper: Hyperparameters = FULL) -> TrainingJob:
    work = job(folder, checkpoint, hyper, pairs)
    train_and_kill(work, SAVE_EVERY, (TrainingPhase.TRAINING, 8))
    return work


@pytest.mark.parametrize("damage", ["truncated", "no-marker", "flipped"])
def test_a_damaged_state_is_passed_over(
    damage: str, tmp_path: Path, checkpoint: Checkpoint, pairs: Path, uninterrupted: dict[str, Checkpoint]
) -> None:
    work = killed_at_eight(tmp_path, checkpoint, pairs)
    newest = tmp_path / "checkpoints" / "step-00000006"
    state = newest / "state.safetensors"
    if damage == "truncated":
        state.write_bytes(state.read_bytes()[:-1000])
    elif damage == "no-marker":
        (newest / "COMPLETE").unlink()
    else:
        raw = bytearray(state.read_bytes())
        raw[-100] ^= 1
        state.write_bytes(bytes(raw))
    with structlog.testing.capture_logs() as logs:
        digest, reports = resume(work)
    assert reports[-1].resumed_from_step == 3
    assert digest == uninterrupted["full"].digest
    passed = [entry for entry in logs if entry["event"] == "checkpoint_passed_over"]
    assert [entry["checkpoint"] for entry in passed] == ["step-00000006"]


def test_never_from_the_base_weights_in_silence(tmp_path: Path, checkpoint: Checkpoint, pairs: Path) -> None:
    work = killed_at_eight(tmp_path, checkpoint, pairs)
    for marker in tmp_path.glob("checkpoints/*/COMPLETE"):
        marker.unlink()
    with pytest.raises(DataLoss, match="from the beginning"):
        resume(work)


def test_stale_reference_log_probabilities_are_refused(
    tmp_path: Path, checkpoint: Checkpoint, other_checkpoint: Checkpoint, pairs: Path
) -> None:
    """Reference fault 17: the classic error of the second iteration."""
    first = job(tmp_path / "first", checkpoint, FULL, pairs)
    run_training(first, TrainerOptions())
    second = job(tmp_path / "second", other_checkpoint, FULL, pairs)
    (tmp_path / "second").mkdir()
    stale = (tmp_path / "first" / "reference.safetensors").read_bytes()
    (tmp_path / "second" / "reference.safetensors").write_bytes(stale)
    with pytest.raises(Conflict, match="model_digest"):
        run_training(second, TrainerOptions())


def test_a_reference_of_another_pair_file_is_refused(tmp_path: Path, checkpoint: Checkpoint, pairs: Path) -> None:
    work = killed_at_eight(tmp_path, checkpoint, pairs)
    path = tmp_path / "reference.safetensors"
    save_file(load_file(str(path)), str(path), metadata={"stamp": json.dumps({"data_digest": "other"})})
    with pytest.raises(Conflict, match="data_digest"):
        resume(work)


def test_another_job_may_not_use_the_folder(tmp_path: Path, checkpoint: Checkpoint, pairs: Path) -> None:
    run_training(job(tmp_path, checkpoint, FULL, pairs), TrainerOptions())
    with pytest.raises(Conflict, match="other content"):
        run_training(job(tmp_path, checkpoint, LORA, pairs), TrainerOptions())
