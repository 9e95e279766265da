"""What may take the place of served weights, decided from files alone; vLLM itself takes almost anything without a word."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from rlaifv.adapters.vllm.weights import check_exchange, check_numbers
from rlaifv.core.errors import DataLoss, InvalidInput
from tests.tiny_llava import save_tiny_llava

Tensors = dict[str, torch.Tensor]
HEAD, WORDS = "language_model.lm_head.weight", "language_model.model.embed_tokens.weight"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llava(tmp_path_factory.mktemp("served") / "model")


@pytest.fixture
def copy(served: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(served, tmp_path / "copy"))


def change(folder: Path, edit: Callable[[Tensors], object]) -> None:
    tensors = load_file(str(folder / "model.safetensors"))
    edit(tensors)
    save_file(tensors, str(folder / "model.safetensors"), metadata={"format": "pt"})


def configure(folder: Path, **values: object) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, **values}), encoding="utf-8")


def test_other_numbers_under_the_same_names_may(served: Path, copy: Path) -> None:
    change(copy, lambda tensors: tensors.update({HEAD: tensors[HEAD] * 2}))
    configure(copy, transformers_version="4.50.0")
    check_exchange(served, copy)
    check_numbers(copy)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda tensors: tensors.pop(HEAD), f"its weights lack {HEAD}"),
        (lambda tensors: tensors.update(more=torch.zeros(2)), "its weights hold more, the served model does not"),
        (lambda tensors: tensors.update({HEAD: torch.zeros(7, 32)}), r"lm_head.weight has the shape \(7, 32\)"),
        (lambda tensors: tensors.update({HEAD: tensors[HEAD].to(torch.int8)}), "is stored as I8"),
    ],
    ids=["missing", "more", "shape", "quantised"],
)
def test_other_tensors_may_not(served: Path, copy: Path, edit: Callable[[Tensors], object], words: str) -> None:
    change(copy, edit)
    with pytest.raises(InvalidInput, match=words):
        check_exchange(served, copy)


def test_another_configuration_may_not(served: Path, copy: Path) -> None:
    configure(copy, vision_feature_layer=-1)
    with pytest.raises(InvalidInput, match=r"vision_feature_layer.*start the service with it"):
        check_exchange(served, copy)


def test_a_head_that_is_the_word_embeddings_may_be_written_or_not(served: Path, copy: Path, tmp_path: Path) -> None:
    without = Path(shutil.copytree(copy, tmp_path / "without"))
    change(without, lambda tensors: tensors.pop(HEAD))
    for folder in (copy, without):
        configure(folder, tie_word_embeddings=True)
    check_exchange(without, copy)
    check_exchange(copy, without)
    change(without, lambda tensors: tensors.pop(WORDS))
    with pytest.raises(InvalidInput, match="embed_tokens"):
        check_exchange(copy, without)


def test_numbers_that_are_none(copy: Path) -> None:
    change(copy, lambda tensors: tensors[HEAD].fill_(float("inf")))
    with pytest.raises(DataLoss, match=f"{HEAD} holds NaN or infinity"):
        check_numbers(copy)
