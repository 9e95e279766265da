"""Whether weights on disk can take the place of those that are served: vLLM itself accepts missing tensors and NaN silently."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import safe_open
from torch import Tensor
from transformers import AutoConfig

from rlaifv.adapters.huggingface.checkpoint import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from rlaifv.adapters.huggingface.export import hub_name
from rlaifv.core.errors import DataLoss, InvalidInput

Shapes = Mapping[str, tuple[int, ...]]

_FLOATS: Final = {"F32", "BF16", "F16"}
# What a configuration says about its file and not about the model.
_INCIDENTAL: Final = {"transformers_version", "dtype", "torch_dtype", "_name_or_path", "use_cache"}
_RESTART: Final = "; to serve it, start the service with it"
_LAYER: Final = re.compile(r"\.(layers\.\d+\..+)$")
_NOT_LANGUAGE: Final = re.compile(r"(^|\.)(vision\w*|visual|multi_modal_projector|connector|merger|mlp1)\.")
_HEAD: Final = re.compile(r"(^|\.)lm_head\.weight$")
_LORA: Final = re.compile(r"^base_model\.model\.(.+)\.lora_([AB])\.weight$")


def shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor in a model folder, by the name that the hub's files give it."""
    found: dict[str, tuple[int, ...]] = {}
    for name, part in _parts(folder):
        if part.get_dtype() not in _FLOATS:
            raise InvalidInput.field(
                "checkpoint.uri", str(folder), f"{name} is stored as {part.get_dtype()}; fp32, bf16 and fp16 are taken"
            )
        found[hub_name(name)] = tuple(part.get_shape())
    return found


def check_exchange(served: Path, folder: Path) -> None:
    """Raises InvalidInput unless the weights in `folder` fit the model in `served`; reads headers only."""
    before, after = _configuration(served), _configuration(folder)
    differing = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
    if differing:
        raise InvalidInput.field(
            "checkpoint.uri", str(folder), f"its configuration differs from the served one in {differing}{_RESTART}"
        )
    old, new = shapes(served), shapes(folder)
    if after.get("tie_word_embeddings"):
        # The head is the word embeddings, whether a file holds it once more or not.
        old, new = ({name: shape for name, shape in found.items() if not _HEAD.search(name)} for found in (old, new))
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            raise InvalidInput.field("checkpoint.uri", str(folder), f"its weights lack {name}")
        if name not in old:
            raise InvalidInput.field(
                "checkpoint.uri", str(folder), f"its weights hold {name}, the served model does not"
            )
        if old[name] != new[name]:
            raise InvalidInput.field(
                "checkpoint.uri",
                str(folder),
                f"{name} has the shape {new[name]}, in the served model {old[name]}{_RESTART}",
            )


def check_numbers(folder: Path) -> None:
    """Raises DataLoss where a weight holds NaN or infinity; reads the whole folder."""
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(str(path), framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - not a dict
                if not bool(torch.isfinite(file.get_tensor(name)).all()):
                    raise DataLoss(
                        f"model folder {folder}: weight {name} holds NaN or infinity; take another checkpoint"
                    )


def check_adapter(folder: Path, base: Path, max_rank: int) -> bool:
    """Whether a LoRA adapter says anything (one that was never trained does not). Raises InvalidInput unless vLLM can serve
    all of it on `base`: it adapts linear layers of the language model only, and passes over the rest without a word."""
    config = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    rank = max([int(config["r"]), *(config.get("rank_pattern") or {}).values()])
    if rank > max_rank:
        raise InvalidInput.field(f"{ADAPTER_CONFIG}: r", rank, f"is over vllm_max_lora_rank = {max_rank}")
    layers = {tail: shape for name, shape in shapes(base).items() if (tail := _language_layer(name))}
    speaks = False
    with safe_open(str(folder / ADAPTER_WEIGHTS), framework="pt") as file:
        for name in file.keys():  # noqa: SIM118 - not a dict
            speaks |= _check_adapter_tensor(name, file.get_tensor(name), layers)
    return speaks


def _check_adapter_tensor(name: str, tensor: Tensor, layers: Shapes) -> bool:
    """Whether it is a second factor (B) that is not zero."""
    matched = _LORA.match(name)
    tail = _language_layer(f"{matched[1]}.weight") if matched else ""
    if matched is None or tail not in layers:
        raise InvalidInput.field(
            ADAPTER_WEIGHTS,
            name,
            "vLLM adapts linear layers of the language model only: merge the adapter into its base",
        )
    outputs, inputs = layers[tail]
    if (tensor.shape[1] != inputs) if matched[2] == "A" else (tensor.shape[0] != outputs):
        raise InvalidInput.field(
            ADAPTER_WEIGHTS, name, f"has the shape {tuple(tensor.shape)}, its layer {(outputs, inputs)}"
        )
    return matched[2] == "B" and bool(tensor.any())


def _language_layer(name: str) -> str:
    """The part of a weight's name that both naming schemes share; "" outside the layers of the language model."""
    found = None if _NOT_LANGUAGE.search(name) else _LAYER.search(name)
    return found[1] if found else ""


def _parts(folder: Path) -> Iterator[tuple[str, Any]]:
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(str(path), framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - not a dict
                yield name, file.get_slice(name)


def _configuration(folder: Path) -> dict[str, Any]:
    stated: dict[str, Any] = AutoConfig.from_pretrained(folder, local_files_only=True).to_dict()
    return _essential(stated)


def _essential(value: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _essential(item) if isinstance(item, dict) else item
        for key, item in value.items()
        if key not in _INCIDENTAL
    }
