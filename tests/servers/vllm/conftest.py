"""One service for all tests of a module: a start takes 10 to 20 s, so what a test changed is changed back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from rlaifv.adapters.remote.policy import RemotePolicy
from rlaifv.core.checkpoints import Checkpoint
from tests.servers.vllm.service import PYTHON, VllmService, running
from tests.tiny_llava import save_tiny_llava

WIDTH = 64
"""Of the tiny models: vLLM's attention on a CPU takes heads of 32 and more."""


@pytest.fixture(scope="session", autouse=True)
def environment() -> None:
    """A missing environment is a failure, never a skip."""
    assert PYTHON.exists(), f"{PYTHON} is missing: run `make vllm`"


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The checkpoint that is served at first, and another."""
    folder = tmp_path_factory.mktemp("vllm-models")
    return save_tiny_llava(folder / "one", seed=1, hidden=WIDTH), save_tiny_llava(folder / "two", seed=2, hidden=WIDTH)


@pytest.fixture(scope="package")
def service(checkpoints: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmService]:
    with running(tmp_path_factory.mktemp("service"), checkpoints[0]) as started:
        yield started


@pytest.fixture
async def policy(service: VllmService, checkpoints: tuple[Path, Path]) -> AsyncIterator[RemotePolicy]:
    remote = RemotePolicy(service.target, patience_s=5)
    yield remote
    await remote.load(Checkpoint(uri=str(checkpoints[0]), digest=""))
    await remote.close()
