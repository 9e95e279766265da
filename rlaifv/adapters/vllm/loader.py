"""Weights from a folder into vLLM's model, under the names that vLLM asks for."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Final

from torch import Tensor
from vllm.config.load import LoadConfig
from vllm.model_executor.model_loader import register_model_loader
from vllm.model_executor.model_loader.default_loader import DefaultModelLoader

from rlaifv.adapters.huggingface.export import hub_name

LOAD_FORMAT: Final = "rlaifv"


@register_model_loader(LOAD_FORMAT)
class HubNamesLoader(DefaultModelLoader):  # type: ignore[misc]
    """vLLM's own loader for safetensors, which also takes folders that transformers 5 wrote under its own names."""

    def __init__(self, load_config: LoadConfig) -> None:
        super().__init__(dataclasses.replace(load_config, load_format="safetensors"))

    def _get_weights_iterator(self, source: DefaultModelLoader.Source) -> Iterator[tuple[str, Tensor]]:
        for name, tensor in super()._get_weights_iterator(source):
            yield hub_name(name), tensor
