"""Adapter folders, whatever their family: digests, damage, and what is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from rlaifv.adapters.huggingface.checkpoint import ADAPTER_CONFIG, ADAPTER_WEIGHTS, checkpoint_at
from rlaifv.adapters.huggingface.loading import load_model
from rlaifv.adapters.huggingface.training_run import TrainerOptions, run_training
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.errors import DataLoss, InvalidInput, RlaifvError
from tests.unit.huggingface.training_jobs import LORA, job

QUICK = replace(LORA, epochs=1)


@pytest.fixture(scope="module", params=["llava"])
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def copy(trained: Path, checkpoint: Checkpoint, tmp_path: Path) -> Path:
    """The adapter with its base beside it, both to be damaged."""
    shutil.copytree(checkpoint.uri, tmp_path / "base")
    shutil.copytree(trained / "adapter", tmp_path / "adapter")
    set_config(tmp_path / "adapter", base_model_name_or_path="../base")
    return tmp_path / "adapter"


def test_the_digest_is_the_content_of_both(copy: Path, trained: Path) -> None:
    first = checkpoint_at(copy).digest
    assert first == checkpoint_at(copy).digest
    (copy / "README.md").write_text("words do not count")
    assert checkpoint_at(copy).digest == first
    weights = copy.parent / "base" / "model.safetensors"
    tensors = load_file(str(weights))
    name = "language_model.model.norm.weight"
    save_file({**tensors, name: tensors[name] + 1}, str(weights), metadata={"format": "pt"})
    assert checkpoint_at(copy).digest != first


def test_a_second_training_writes_the_same_bytes(trained: Path, checkpoint: Checkpoint, tmp_path: Path) -> None:
    pairs = trained.parent / "pairs.parquet"
    run_training(job(tmp_path / "job", checkpoint, QUICK, pairs), TrainerOptions())
    first, second = trained / "adapter" / ADAPTER_WEIGHTS, tmp_path / "job" / "adapter" / ADAPTER_WEIGHTS
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"drop": "lora_A"}, InvalidInput, "do not fit"),
        ({"shape": "lora_B"}, InvalidInput, "do not fit"),
        ({"nan": "lora_B"}, DataLoss, "NaN"),
    ],
    ids=["missing", "shape", "nan"],
)
def test_bad_adapters(copy: Path, change: dict[str, str], error: type[RlaifvError], words: str) -> None:
    tensors = load_file(str(copy / ADAPTER_WEIGHTS))
    ((kind, part),) = change.items()
    name = next(name for name in sorted(tensors) if part in name)
    damaged = {"drop": None, "shape": tensors[name][:, :-1].contiguous(), "nan": tensors[name] * float("nan")}[kind]
    kept = {**tensors, name: damaged}
    save_file({n: t for n, t in kept.items() if t is not None}, str(copy / ADAPTER_WEIGHTS))
    with pytest.raises(error, match=words):
        load_model(checkpoint_at(copy))


def test_a_truncated_base(copy: Path) -> None:
    weights = copy.parent / "base" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(DataLoss, match=r"model\.safetensors"):
        load_model(checkpoint_at(copy))


def test_a_truncated_adapter(copy: Path) -> None:
    weights = copy / ADAPTER_WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(DataLoss, match=ADAPTER_WEIGHTS):
        load_model(checkpoint_at(copy))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"base_model_name_or_path": "../none"}, "must name the folder of a whole model"),
        ({"target_modules": ["no_such_layer"]}, "does not fit its base"),
        ({"peft_type": "IA3"}, "plain LoRA"),
        ({"modules_to_save": ["lm_head"]}, "plain LoRA"),
    ],
    ids=["no base", "other layers", "not LoRA", "whole layers"],
)
def test_what_an_adapter_may_be(copy: Path, change: dict[str, object], words: str) -> None:
    set_config(copy, **change)
    with pytest.raises(InvalidInput, match=words):
        load_model(Checkpoint(uri=str(copy), digest=""))


def test_training_on_an_adapter_writes_a_whole_model(trained: Path, tmp_path: Path) -> None:
    start = checkpoint_at(trained / "adapter")
    run_training(job(tmp_path, start, QUICK, trained.parent / "pairs.parquet"), TrainerOptions())
    assert not (tmp_path / "adapter").exists()
    assert load_model(checkpoint_at(tmp_path / "model")).adapter is None


def set_config(folder: Path, **change: object) -> None:
    path = folder / ADAPTER_CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
