"""A pack of trees (learning.packing) through a model's body: ids, positions and pictures of many prompts in one sequence."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rlaifv.adapters.huggingface.last_layer import LastLayer
from rlaifv.adapters.huggingface.packed_attention import PackLayout, use_packed_attention
from rlaifv.adapters.huggingface.vision import token_kinds
from rlaifv.learning.packing import Pack


class PackReader:
    """Forward passes over packs. Whether a family's come out right is for probe.prove_packs to say."""

    def __init__(self, model: PreTrainedModel) -> None:
        """Raises InvalidInput for a model whose text decoder is not found."""
        if use_packed_attention(model):
            LastLayer(model)
        self._model = model
        self._last_layer = int(model.config.get_text_config().num_hidden_layers) - 1
        self._body = model.base_model
        # A mask of four dimensions is handed on as it is: none is made, and this one is not looked at.
        self._no_mask = torch.ones((1, 1, 1, 1), dtype=torch.bool, device=model.device)

    def hidden(self, pack: Pack, pictures: dict[str, Any]) -> Tensor:
        """Last hidden states (tokens, width), right where `pack.predictors` points and nowhere else.

        `pictures` are the forward arguments of one picture a tree, in their order.
        """
        ids = pack.ids[None].to(self._model.device)
        kinds = token_kinds(self._model, ids)
        output = self._body(
            input_ids=ids,
            position_ids=self._positions(pack, kinds, pictures),
            attention_mask=self._no_mask,
            use_cache=False,
            packing=PackLayout.of(pack, self._model.device, self._last_layer),
            **kinds,
            **pictures,
        )
        hidden: Tensor = output.last_hidden_state[0]
        return hidden

    def _positions(self, pack: Pack, kinds: dict[str, Tensor], pictures: dict[str, Any]) -> Tensor:
        """(1, tokens), or (3, 1, tokens) for families that place a picture's tokens in three dimensions (Qwen-VL)."""
        positions = pack.positions[None].to(self._model.device)
        if not hasattr(self._body, "get_rope_index"):
            return positions
        positions = positions.repeat(3, 1, 1)
        grids = pictures["image_grid_thw"]
        for number, span in enumerate(pack.spans):
            prompt = slice(span.start, span.fork)
            placed, shift = self._body.get_rope_index(
                pack.ids[None, prompt].to(grids.device),
                image_grid_thw=grids[number : number + 1],
                **{name: kind[:, prompt] for name, kind in kinds.items()},
            )
            positions[:, :, prompt] = placed
            positions[:, :, span.fork : span.end] += int(shift)
        return positions
