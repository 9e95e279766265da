"""A written folder holds what the start's folder held: the same names, each weight once, in the same number format."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from rlaifv.adapters.huggingface.checkpoint import checkpoint_at
from rlaifv.adapters.huggingface.export import hub_name, save_model
from rlaifv.adapters.huggingface.loading import load_model

POLICY = Path(__file__).parents[3] / "demo" / "checkpoints" / "policy"
"""Head and word embeddings are one weight, stored in bf16 and trained in fp32."""


def names(folder: Path) -> set[str]:
    with safe_open(str(folder / "model.safetensors"), framework="pt") as file:
        return set(file.keys())


@pytest.mark.parametrize("dtype", [None, torch.float32, torch.bfloat16], ids=str)
def test_tied_weights_are_written_once_in_every_number_format(tmp_path: Path, dtype: torch.dtype | None) -> None:
    loaded = load_model(checkpoint_at(POLICY))
    save_model(loaded.model, POLICY, tmp_path / "out", dtype)
    assert names(tmp_path / "out") == {hub_name(name) for name in names(POLICY)}
    assert {tensor.dtype for tensor in load_file(str(tmp_path / "out" / "model.safetensors")).values()} == {
        dtype or torch.float32
    }
    again = load_model(checkpoint_at(tmp_path / "out"))
    for name, tensor in again.model.state_dict().items():
        assert torch.equal(tensor, loaded.model.state_dict()[name]), name
