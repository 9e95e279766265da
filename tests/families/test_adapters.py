"""LoRA with every family: the merged folder and the adapter's folder on its base are one model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rlaifv.adapters.huggingface.checkpoint import checkpoint_at
from rlaifv.adapters.huggingface.policy import HuggingFacePolicy
from rlaifv.core.candidates import Candidate, Prompt, Sampling
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.images import Image
from rlaifv.ports.services import Generation
from tests.families.pictures import PICTURES


async def greedy(checkpoint: Checkpoint) -> list[Candidate]:
    policy = HuggingFacePolicy.open(checkpoint)
    sampling = Sampling(temperature=0.0, max_new_tokens=8)
    items = [
        Generation(prompt=Prompt(id=name, image=Image(data=data), text="What is it?"), seeds=(0,), sampling=sampling)
        for name, data in PICTURES.items()
    ]
    found = [outcome.unwrap()[0] async for outcome in policy.generate(items)]
    await policy.close()
    return sorted(found, key=lambda candidate: candidate.prompt_id)


async def test_merged_model_and_adapter_answer_alike(trained: Path, checkpoint: Checkpoint) -> None:
    merged, adapter = checkpoint_at(trained / "model"), checkpoint_at(trained / "adapter")
    assert len({merged.digest, adapter.digest, checkpoint.digest}) == 3
    start, whole, parts = await greedy(checkpoint), await greedy(merged), await greedy(adapter)
    for one, other in zip(whole, parts, strict=True):
        assert one.token_ids == other.token_ids
        assert one.token_logprobs == pytest.approx(other.token_logprobs, abs=1e-5)
        assert other.policy_version == adapter.digest
    assert [c.token_logprobs for c in start] != [c.token_logprobs for c in parts]


def test_the_trained_folder_has_the_names_of_its_start(trained: Path, checkpoint: Checkpoint) -> None:
    """Whatever transformers calls them in memory: vLLM reads the one as it read the other."""
    before = load_file(str(Path(checkpoint.uri) / "model.safetensors"))
    after = load_file(str(trained / "model" / "model.safetensors"))
    assert {name: tensor.shape for name, tensor in after.items()} == {n: t.shape for n, t in before.items()}
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert all("layers." in name and "vision" not in name and "visual" not in name for name in moved)
