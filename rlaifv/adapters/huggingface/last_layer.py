"""The last decoder layer of a packed forward pass, without what nobody reads.

Of a prompt, the last layer gives the others its keys and values; its output is read from one token, that which predicts the first
token of an answer. So queries, output projection and feed-forward are computed for tokens that predict something, and are zero
elsewhere.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from rlaifv.adapters.huggingface.packed_attention import PackLayout


class LastLayer:
    """Hooks on the last decoder layer; they do something where the forward pass has a pack's layout."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._read: Tensor | None = None
        self._tokens = 0
        layer: nn.Module = model.get_decoder().layers[-1]
        attention = layer.get_submodule("self_attn")
        layer.register_forward_pre_hook(self._begin, with_kwargs=True)
        layer.register_forward_hook(self._end, always_call=True)
        for part in (attention.get_submodule("q_proj"), attention.get_submodule("o_proj"), layer.get_submodule("mlp")):
            part.register_forward_pre_hook(self._cut)
            part.register_forward_hook(self._spread)

    def _begin(self, layer: nn.Module, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
        packing: PackLayout | None = named.get("packing")
        self._read = None if packing is None else packing.read

    def _end(self, layer: nn.Module, positional: tuple[Any, ...], output: Any) -> None:
        self._read = None

    def _cut(self, part: nn.Module, positional: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if self._read is None:
            return None
        (states,) = positional
        self._tokens = states.shape[1]
        return (states.index_select(1, self._read),)

    def _spread(self, part: nn.Module, positional: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        if self._read is None:
            return None
        whole = output.new_zeros((1, self._tokens, output.shape[-1]))
        return torch.index_copy(whole, 1, self._read, output)
