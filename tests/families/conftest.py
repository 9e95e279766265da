from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rlaifv.adapters.huggingface.checkpoint import checkpoint_at
from rlaifv.adapters.huggingface.training_run import TrainerOptions, run_training
from rlaifv.core.checkpoints import Checkpoint
from tests.families import FAMILIES
from tests.families.plain import Plain
from tests.unit.huggingface.training_jobs import LORA, job, pair_file


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Many small operations on shared cores: a second thread costs far more than it gives."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One folder a family."""
    root = tmp_path_factory.mktemp("families")
    return {name: make(root / name, 0) for name, make in FAMILIES.items()}


@pytest.fixture(scope="module", params=list(FAMILIES))
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def checkpoint(family: str, made: dict[str, Path]) -> Checkpoint:
    return checkpoint_at(made[family])


@pytest.fixture(scope="module")
def plain(family: str, made: dict[str, Path]) -> Plain:
    return Plain.load(made[family])


@pytest.fixture(scope="module")
def trained(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished LoRA job."""
    folder = tmp_path_factory.mktemp("trained")
    pair_file(folder / "pairs.parquet")
    run_training(job(folder / "job", checkpoint, replace(LORA, epochs=1), folder / "pairs.parquet"), TrainerOptions())
    return folder / "job"
