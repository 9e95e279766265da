"""Real tritonservers: one with a tiny model for most tests, others where a test kills or stops them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import torch

from rlaifv.adapters.remote.labeler import RemoteLabeler
from services.labeler.settings import LabelerSettings
from tests.servers.triton.launched import PYTHON, Launched, in_own_loop
from tests.serving import serving
from tests.tiny_llava import save_tiny_llava


@pytest.fixture(autouse=True, scope="session")
def triton_environment() -> None:
    """Without it there is nothing to test; a skip would look like a pass."""
    assert PYTHON.exists(), f"{PYTHON} is missing: run make triton"


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """As inside Triton here: with other threads torch adds up in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llava(tmp_path_factory.mktemp("models") / "tiny", seed=1)


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llava(tmp_path_factory.mktemp("models") / "other", seed=2)


@pytest.fixture(scope="session")
def triton(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    """Shared: tests must leave it alive."""
    yield from in_own_loop(tiny, tmp_path_factory.mktemp("triton"))


@pytest.fixture
async def labeler(triton: Launched) -> AsyncIterator[RemoteLabeler]:
    """The labeler service in front of that Triton, as its clients see it."""
    settings = LabelerSettings(backend="triton", triton_target=triton.target, decomposer="fake")
    async with serving(settings) as server:
        remote = RemoteLabeler(server.target, patience_s=5)
        yield remote
        await remote.close()
