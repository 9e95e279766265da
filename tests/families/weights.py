"""Random weights for any model, and the folder it becomes."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedModel

from rlaifv.adapters.huggingface.export import save_model


def randomise(model: PreTrainedModel, seed: int) -> PreTrainedModel:
    """Weights of a scale at which every layer, picture and prompt matter: different prompts, clearly different answers."""
    generator = torch.Generator().manual_seed(seed)

    def normal(tensor: torch.Tensor, scale: float) -> torch.Tensor:
        return torch.randn(tensor.shape, generator=generator) * scale

    # Large embeddings that are the head too only ever repeat the last token.
    spread = 0.15 if model.config.tie_word_embeddings else 0.4
    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, torch.nn.Embedding)}
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            if id(weight) in embeddings:
                weight.copy_(normal(weight, spread))
            elif weight.ndim < 2:
                # Norms keep their mean (1, or 0 in Gemma), biases stay small.
                weight.copy_(weight.mean() + normal(weight, 0.1) if "norm" in name else normal(weight, 0.1))
            else:
                weight.copy_(normal(weight, 1.5 / math.sqrt(weight[0].numel())))
    return model.eval()


def save(folder: Path, model: PreTrainedModel, processor: Any, end_tokens: int | list[int]) -> Path:
    """A model folder with weights under the hub's names; returns it."""
    model.generation_config = GenerationConfig(eos_token_id=end_tokens)
    parts = folder.with_name(f".{folder.name}.processor")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        processor.save_pretrained(parts)
        save_model(model, parts, folder)
    for path in parts.iterdir():
        path.unlink()
    parts.rmdir()
    return folder
