from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from rlaifv.adapters.huggingface.checkpoint import checkpoint_at
from rlaifv.core.checkpoints import Checkpoint
from tests.tiny_llava import save_tiny_llava


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Many small operations on shared cores: a second thread costs far more than it gives."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A tiny model."""
    return checkpoint_at(save_tiny_llava(tmp_path_factory.mktemp("models") / "first", seed=0))


@pytest.fixture(scope="session")
def other_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """The same architecture with other weights."""
    return checkpoint_at(save_tiny_llava(tmp_path_factory.mktemp("models") / "second", seed=1))


@pytest.fixture
def model_copy(checkpoint: Checkpoint, tmp_path: Path) -> Path:
    """A copy of the model folder, to be damaged."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in Path(checkpoint.uri).iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder
