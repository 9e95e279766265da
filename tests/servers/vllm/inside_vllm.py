"""What reaches vLLM's models, seen from inside: run by test_inside.py with the Python that has vLLM."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from vllm.renderers import renderer_from_config

from rlaifv.adapters.huggingface.chat import ChatFormat, PreparedImage
from rlaifv.adapters.images import ImageSources, decode
from rlaifv.adapters.vllm import publishing, starting
from rlaifv.adapters.vllm.engine import Engine, Request, rendered
from rlaifv.adapters.vllm.options import VllmOptions
from rlaifv.adapters.vllm.policy import VllmPolicy
from rlaifv.adapters.vllm.prompts import PromptReader
from rlaifv.core.candidates import Candidate, Prompt, Sampling
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.errors import BackendFailed, Unavailable
from rlaifv.core.images import Image
from rlaifv.ports.services import Generation
from tests.families import FAMILIES
from tests.serving import picture
from tests.tiny_llava import save_tiny_llava

OPTIONS = VllmOptions(kv_cache_bytes=64 * 2**20)
PICTURES = [picture("red"), picture("blue", (90, 30)), picture("green", (31, 117))]
TEXT = "Is there a <image> red car, or \n\n two dogs?"


@pytest.fixture(params=FAMILIES)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return FAMILIES[request.param](tmp_path / request.param, 1)


def prepared(chat: ChatFormat, image: Image) -> tuple[PreparedImage, tuple[int, ...]]:
    """What every other service computes: pixels and ids."""
    seen = chat.prepare(decode(image.data))
    return seen, chat.prompt_ids(chat.render(TEXT), seen)


def floats(inputs: dict[str, Any]) -> list[Tensor]:
    """The pictures among some inputs, without batch dimensions."""
    return [value.reshape(-1) for value in inputs.values() if isinstance(value, Tensor) and value.is_floating_point()]


def test_ids_and_pixels_are_those_of_all_other_services(folder: Path) -> None:
    config = starting._arguments(folder, OPTIONS).create_engine_config()
    renderer = renderer_from_config(config)
    reader = PromptReader(folder, ImageSources())
    for image in PICTURES:
        given = asyncio.run(rendered(renderer, config.model_config, reader.read(image, TEXT), "base"))
        seen, ids = prepared(reader.chat, image)
        assert tuple(given["prompt_token_ids"]) == ids
        (item,) = given["mm_kwargs"]["image"]
        (found,), (wanted,) = floats(item.get_data()), floats(seen.inputs)
        assert torch.equal(found, wanted)
    renderer.shutdown()


def remember_pixels(worker: Any) -> None:
    """Runs in the engine's process: note what the vision tower is given."""
    tower = worker.model_runner.model.vision_tower
    tower.seen = []
    tower.register_forward_pre_hook(lambda _, given: tower.seen.append(given[0].clone()))


def seen_pixels(worker: Any) -> list[Any]:
    """Runs in the engine's process."""
    return [pixels.tolist() for pixels in worker.model_runner.model.vision_tower.seen]


@pytest.fixture
def insecure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets this test send functions to the engine's process."""
    monkeypatch.setenv("VLLM_ALLOW_INSECURE_SERIALIZATION", "1")


@pytest.mark.usefixtures("insecure")
def test_the_vision_tower_is_given_the_same_pixels_bit_for_bit(tmp_path: Path) -> None:
    folder = FAMILIES["llava"](tmp_path / "llava", 1)
    reader = PromptReader(folder, ImageSources())

    async def pixels() -> list[Tensor]:
        engine = await asyncio.to_thread(Engine.start, folder, OPTIONS)
        await engine._llm.collective_rpc(remember_pixels)
        for image in PICTURES:
            prompt = reader.read(image, TEXT)
            sampling = Sampling(max_new_tokens=2)
            request = Request(prompt=prompt, sampling=sampling, seed=1, end_tokens=reader.end_tokens, base="base")
            await engine.sample(request)
        (found,) = await engine._llm.collective_rpc(seen_pixels)
        await engine.close()
        return [torch.tensor(each) for each in found]

    for found, image in zip(asyncio.run(pixels()), PICTURES, strict=True):
        assert torch.equal(found, prepared(reader.chat, image)[0].inputs["pixel_values"])


def unloadable(start: Path, folder: Path, how: str) -> Path:
    """A folder at which vLLM's own loading fails."""
    shutil.copytree(start, folder)
    weights = folder / "model.safetensors"
    if how == "truncated":
        weights.write_bytes(weights.read_bytes()[:-1000])
    else:
        weights.unlink()
    return folder


def test_a_load_that_fails_in_vllm_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With our own checks off, so that the fault gets as far as vLLM. Where the old weights do not load again, all is lost."""
    start = save_tiny_llava(tmp_path / "start", seed=1, hidden=64)
    after = save_tiny_llava(tmp_path / "after", seed=2, hidden=64)
    monkeypatch.setattr(publishing, "check_exchange", lambda served, folder: None)
    monkeypatch.setattr(publishing, "check_numbers", lambda folder: None)
    monkeypatch.setattr(publishing, "verified_folder", lambda checkpoint: Path(checkpoint.uri))
    item = Generation(
        prompt=Prompt(id="p", image=PICTURES[0], text=TEXT), seeds=(1, 2), sampling=Sampling(max_new_tokens=6)
    )

    async def answers(policy: VllmPolicy) -> tuple[Candidate, ...]:
        (outcome,) = [outcome async for outcome in policy.generate([item])]
        return outcome.unwrap()

    async def load(policy: VllmPolicy, folder: Path) -> None:
        await policy.load(Checkpoint(uri=str(folder), digest=hashlib.sha256(str(folder).encode()).hexdigest()))

    async def story() -> None:
        policy = await asyncio.to_thread(VllmPolicy.open, Checkpoint(uri=str(start), digest=""), OPTIONS)
        before = await answers(policy)
        for how in ("truncated", "empty"):
            with pytest.raises(BackendFailed, match="vLLM: "):
                await load(policy, unloadable(start, tmp_path / how, how))
            assert await answers(policy) == before
            await policy.check()
        await load(policy, after)
        other = await answers(policy)
        assert [c.text for c in other] != [c.text for c in before]
        (after / "model.safetensors").unlink()
        with pytest.raises(BackendFailed):
            await load(policy, tmp_path / "truncated")
        assert policy.lost()
        with pytest.raises(Unavailable, match="must be restarted"):
            await policy.check()
        with pytest.raises(Unavailable):
            await answers(policy)
        await policy.close()

    asyncio.run(story())
