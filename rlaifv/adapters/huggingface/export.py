"""Writing a model as a Hugging Face folder that both transformers and vLLM load: weights under the hub's names."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedModel

from rlaifv.adapters.files import written_folder
from rlaifv.adapters.huggingface.checkpoint import WEIGHTS_INDEX, model_files
from rlaifv.adapters.huggingface.quiet import quiet

# transformers 5 writes a CLIP or SigLIP tower without the `vision_model` level that hub files have and vLLM asks for;
# it reads both. Other towers (InternVL's) have other names inside and never had that level.
_TOWER = re.compile(
    r"^((?:model\.)?vision_tower\.)"
    r"(embeddings\.(?:class_embedding|patch_embedding|position_embedding)\b|encoder\.layers\.|pre_layrnorm\.|post_layernorm\.|head\.)"
)


def hub_name(name: str) -> str:
    """The name that hub files give a weight which `save_pretrained` wrote as `name`."""
    return _TOWER.sub(r"\1vision_model.\2", name)


def save_model(model: PreTrainedModel, start: Path, target: Path, dtype: torch.dtype | None = None) -> None:
    """Write `model` to the folder `target` (replaced as a whole), with the tokenizer and processor files of `start`.

    `dtype` is the number format on disk; None keeps the model's. Raises StorageFull with nothing half-written.
    """
    with written_folder(target) as folder:
        state = {name: tensor.detach() for name, tensor in model.state_dict().items()}
        if dtype is not None:
            state = _converted(state, dtype)
        kept = model.config.dtype
        try:
            model.config.dtype = dtype or kept
            with quiet():
                model.save_pretrained(folder, state_dict=state)
        finally:
            model.config.dtype = kept
        _rename_weights(folder)
        _copy_other_files(start, folder)


def _converted(state: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """The same weights in another number format; those that share memory still do, so that tied ones are written once."""
    done: dict[tuple[int, torch.Size], Tensor] = {}
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if tensor.is_floating_point():
            place = (tensor.data_ptr(), tensor.shape)
            tensor = done.setdefault(place, tensor.to(dtype))
        found[name] = tensor
    return found


def _rename_weights(folder: Path) -> None:
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(str(path), framework="pt") as file:
            names = list(file.keys())
            if all(hub_name(name) == name for name in names):
                continue
            metadata: dict[str, str] = file.metadata() or {}
            tensors = {hub_name(name): file.get_tensor(name).clone() for name in names}
        save_file(tensors, str(path), metadata=metadata)
    index = folder / WEIGHTS_INDEX
    if index.exists():
        content: dict[str, Any] = json.loads(index.read_text())
        content["weight_map"] = {hub_name(name): file for name, file in content["weight_map"].items()}
        index.write_text(json.dumps(content, indent=2, sort_keys=True))


def _copy_other_files(start: Path, folder: Path) -> None:
    """Tokenizer, processor and generation files are copied, not written anew: not a byte of them changed in training."""
    for path in model_files(start):
        if path.suffix != ".safetensors" and path.name not in ("config.json", WEIGHTS_INDEX):
            shutil.copyfile(path, folder / path.name)
