"""LoRA: adapters on the language model, their folder in peft's format, and such a folder put on its base again.

The folder holds `adapter_config.json` and `adapter_model.safetensors` with transformers' names for the weights, which vLLM
translates for each family. The base is named relative to the folder, so that both may be mounted elsewhere together.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from rlaifv.adapters.files import written_folder
from rlaifv.adapters.huggingface.checkpoint import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from rlaifv.core.errors import DataLoss, InvalidInput
from rlaifv.core.seeds import derive_seed
from rlaifv.core.training import Lora


def with_adapters(model: PreTrainedModel, lora: Lora, seed: int) -> PeftModel:
    """Fresh adapters on all linear layers of the language model; head, projector and vision tower have none.

    Raises InvalidInput for a model whose language model has no linear layer.
    """
    inside = set(model.get_decoder().modules()) - {model.get_output_embeddings()}
    targets = [name for name, module in model.named_modules() if isinstance(module, nn.Linear) and module in inside]
    if not targets:
        raise InvalidInput("model: its language model has no linear layer to adapt")
    config = LoraConfig(
        r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=targets, bias="none"
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "lora"))
        return get_peft_model(model, config)


def save_adapter(model: PeftModel, base: Path, target: Path) -> None:
    """Write the adapters as the folder `target` (replaced as a whole). Raises StorageFull with nothing half-written."""
    config: dict[str, Any] = model.peft_config["default"].to_dict()
    config["base_model_name_or_path"] = os.path.relpath(base.resolve(), target.resolve())
    config["inference_mode"] = True
    # peft keeps the names in a set, whose order changes from one process to the next.
    config["target_modules"] = sorted(config["target_modules"])
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in get_peft_model_state_dict(model).items()}
    with written_folder(target) as folder:
        save_file(tensors, str(folder / ADAPTER_WEIGHTS), metadata={"format": "pt"})
        text = json.dumps(config, indent=2, sort_keys=True, default=str)
        (folder / ADAPTER_CONFIG).write_text(text, encoding="utf-8")


def merge_adapter(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """The model with the adapters of a folder merged into its weights.

    Raises InvalidInput for adapters that are not LoRA or do not fit the model, DataLoss for NaN or infinity in them.
    """
    config = _config(folder)
    tensors = load_file(str(folder / ADAPTER_WEIGHTS))
    _refuse_bad_numbers(tensors, folder)
    try:
        with torch.random.fork_rng(devices=[]):
            adapted = get_peft_model(model, config)
    except (ValueError, TypeError, KeyError) as exc:
        raise InvalidInput.field("checkpoint.uri", str(folder), f"does not fit its base: {exc}") from exc
    _require_fit(tensors, get_peft_model_state_dict(adapted), folder)
    set_peft_model_state_dict(adapted, tensors)
    merged: PreTrainedModel = adapted.merge_and_unload()
    return merged


def _config(folder: Path) -> LoraConfig:
    try:
        stated = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        kinds = (stated.get("peft_type"), stated.get("modules_to_save") or "no modules_to_save")
        if kinds != ("LORA", "no modules_to_save"):
            raise InvalidInput.field("checkpoint.uri", str(folder), f"must be a plain LoRA adapter, it has {kinds}")
        config: LoraConfig = LoraConfig.from_pretrained(str(folder))
    except (ValueError, TypeError, KeyError, AttributeError, OSError) as exc:
        raise InvalidInput.field("checkpoint.uri", str(folder), f"its {ADAPTER_CONFIG} does not load: {exc}") from exc
    # Where the base lies is checkpoint.py's affair; peft would warn that it is another one.
    config.base_model_name_or_path = None
    return config


def _refuse_bad_numbers(tensors: dict[str, Tensor], folder: Path) -> None:
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise DataLoss(f"adapter folder {folder}: weight {name} holds NaN or infinity; take another checkpoint")


def _require_fit(found: dict[str, Tensor], wanted: dict[str, Tensor], folder: Path) -> None:
    wrong = sorted(name for name in {*found, *wanted} if name not in found or name not in wanted)
    wrong += [name for name in found if name in wanted and found[name].shape != wanted[name].shape]
    if wrong:
        raise InvalidInput.field(
            "checkpoint.uri", str(folder), f"{len(wrong)} adapter weights do not fit its base, first {wrong[0]}"
        )
