"""The implementations that every contract test runs over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from rlaifv.adapters.fake import decomposer as fake_decomposer
from rlaifv.adapters.fake.folders import write_checkpoint
from rlaifv.adapters.fake.labeler import FakeLabeler
from rlaifv.adapters.fake.policy import FakePolicy
from rlaifv.adapters.local_decomposer import Divider, LocalDecomposer, divider
from rlaifv.adapters.remote.decomposer import RemoteDecomposer
from rlaifv.adapters.remote.labeler import RemoteLabeler
from rlaifv.adapters.remote.policy import RemotePolicy
from rlaifv.core.checkpoints import Checkpoint
from services.decomposer.settings import DecomposerSettings
from services.labeler.settings import LabelerSettings
from services.policy.settings import PolicySettings
from tests.serving import serving

MODELS = ["fake", "remote fake", "huggingface", "remote huggingface"]


@pytest.fixture(scope="session")
def model_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """Two different checkpoints of each kind."""
    from tests.tiny_llava import save_tiny_llava

    folder = tmp_path_factory.mktemp("models")
    for name in ("one", "two"):
        write_checkpoint(folder / f"fake-{name}", name)
    return {
        "fake": (folder / "fake-one", folder / "fake-two"),
        "huggingface": (
            save_tiny_llava(folder / "tiny-one", seed=1),
            save_tiny_llava(folder / "tiny-two", seed=2),
        ),
    }


@pytest.fixture(params=MODELS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def checkpoints(kind: str, model_folders: dict[str, tuple[Path, Path]]) -> tuple[Path, Path]:
    """The checkpoint that is served at first, and another."""
    return model_folders[kind.removeprefix("remote ")]


@pytest.fixture
async def policy(kind: str, checkpoints: tuple[Path, Path]) -> AsyncIterator[Any]:
    start = Checkpoint(uri=str(checkpoints[0]), digest="")
    async with AsyncExitStack() as stack:
        if kind == "fake":
            yield FakePolicy(start)
        elif kind == "huggingface":
            from rlaifv.adapters.huggingface.policy import HuggingFacePolicy

            local = HuggingFacePolicy.open(start)
            stack.push_async_callback(local.close)
            yield local
        else:
            settings = PolicySettings(backend=kind.removeprefix("remote "), model=start.uri)
            server = await stack.enter_async_context(serving(settings))
            remote = RemotePolicy(server.target, patience_s=5)
            stack.push_async_callback(remote.close)
            yield remote


@pytest.fixture
async def labeler(kind: str, checkpoints: tuple[Path, Path]) -> AsyncIterator[Any]:
    start = Checkpoint(uri=str(checkpoints[0]), digest="")
    async with AsyncExitStack() as stack:
        if kind == "fake":
            yield FakeLabeler(start)
        elif kind == "huggingface":
            from rlaifv.adapters.huggingface.labeler import HuggingFaceLabeler

            local = HuggingFaceLabeler.open(start)
            stack.callback(local.close)
            yield local
        else:
            settings = LabelerSettings(backend=kind.removeprefix("remote "), model=start.uri, decomposer="fake")
            server = await stack.enter_async_context(serving(settings))
            remote = RemoteLabeler(server.target, patience_s=5)
            stack.push_async_callback(remote.close)
            yield remote


@pytest.fixture(scope="session")
def grammar() -> Divider:
    """The grammar's model, loaded once."""
    import asyncio

    return asyncio.run(divider("grammar"))


@pytest.fixture(params=["fake", "remote fake", "grammar"])
async def decomposer(request: pytest.FixtureRequest, grammar: Divider) -> AsyncIterator[Any]:
    async with AsyncExitStack() as stack:
        if request.param == "fake":
            local = LocalDecomposer(
                Divider(divide=lambda texts: [fake_decomposer.divide(text) for text in texts], version="fake")
            )
        elif request.param == "grammar":
            local = LocalDecomposer(grammar)
        else:
            server = await stack.enter_async_context(serving(DecomposerSettings(backend="fake")))
            remote = RemoteDecomposer(server.target, patience_s=5)
            stack.push_async_callback(remote.close)
            yield remote
            return
        stack.push_async_callback(local.close)
        yield local
