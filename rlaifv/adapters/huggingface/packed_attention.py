"""Attention over packs of trees (learning.packing) as one of transformers' attention implementations.

The layout of a pack goes to every layer among the keyword arguments of the forward pass, so that layers computed again in the
backward pass see it too. On CPU it names dense blocks, on CUDA it is FlexAttention's block mask. A forward pass without a layout
attends as ever.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from rlaifv.core.errors import InvalidInput
from rlaifv.learning.packing import Pack, Span
from rlaifv.learning.tree_attention import attends, dense_mask, tree_attention

NAME = "rlaifv_packed"
MaskMod = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackLayout:
    """What layers have to know of a pack; `blocks` where the pack lies on a GPU.

    `read` are the tokens whose last hidden state is asked for, in their order; layer `last_layer` may leave out the others.
    """

    spans: tuple[Span, ...]
    lineage: tuple[Tensor, Tensor]
    read: Tensor
    last_layer: int
    blocks: BlockMask | None = None

    @classmethod
    def of(cls, pack: Pack, device: torch.device, last_layer: int = -1) -> PackLayout:
        """For a forward pass on `device`; `last_layer` is -1 where the last hidden states of all tokens are wanted."""
        tree, branch = (column.to(device) for column in pack.lineage)
        blocks = None
        if device.type == "cuda":
            tokens = pack.tokens
            blocks = create_block_mask(
                mask_mod(tree, branch), B=None, H=None, Q_LEN=tokens, KV_LEN=tokens, device=device
            )
        read = torch.cat([torch.arange(span.fork - 1, span.end) for span in pack.spans]).to(device)
        return cls(spans=pack.spans, lineage=(tree, branch), read=read, last_layer=last_layer, blocks=blocks)


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    packing: PackLayout | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """transformers' attention interface; with `packing` the mask is not looked at.

    Sliding windows are not applied: a prompt with its answer must be shorter than them.
    """
    if packing is None:
        plain: tuple[Tensor, Tensor | None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **kwargs
        )
        return plain
    device = query.device.type
    if torch.is_autocast_enabled(device):
        # Rotary positions leave queries and keys in fp32, which is also what attention on CPU is fastest in.
        wanted = query.dtype if device == "cpu" else torch.get_autocast_dtype(device)
        query, key, value = query.to(wanted), key.to(wanted), value.to(wanted)
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    if dropout or (device != "cpu" and packing.blocks is None):
        mixed = _masked(query, key, value, packing, scale, dropout)
    elif packing.blocks is not None:
        mixed = compiled_flex_attention()(
            query, key, value, block_mask=packing.blocks, scale=scale, enable_gqa=query.shape[1] != key.shape[1]
        )
    else:
        whole = getattr(module, "layer_idx", None) != packing.last_layer
        mixed = tree_attention(query, key, value, packing.spans, scale, whole=whole)
    return mixed.transpose(1, 2).contiguous(), None


def _masked(query: Tensor, key: Tensor, value: Tensor, packing: PackLayout, scale: float, dropout: float) -> Tensor:
    """Tree by tree with a boolean mask: for models that drop attention weights and devices without a kernel of ours."""
    grouped, parts = query.shape[1] != key.shape[1], []
    for span in packing.spans:
        at = slice(span.start, span.end)
        mask = dense_mask(*(column[at] for column in packing.lineage))
        queries, keys, values = (tensor[:, :, at] for tensor in (query, key, value))
        parts.append(
            scaled_dot_product_attention(
                queries, keys, values, attn_mask=mask, dropout_p=dropout, scale=scale, enable_gqa=grouped
            )
        )
    return torch.cat(parts, dim=2)


def mask_mod(tree: Tensor, branch: Tensor) -> MaskMod:
    """FlexAttention's question whether one token attends to another, from `Pack.lineage`."""

    def mod(_: Tensor, __: Tensor, reader: Tensor, read: Tensor) -> Tensor:
        return attends(tree, branch, reader, read)

    return mod


@cache
def compiled_flex_attention() -> Any:
    """FlexAttention as one kernel; without compiling it would multiply out everything."""
    return torch.compile(flex_attention, dynamic=True)


def use_packed_attention(model: PreTrainedModel) -> bool:
    """Let the model's text decoder attend with `packed_attention`; its vision tower is left as it is.

    False where it did so already. Raises InvalidInput for a model whose text decoder is not found.
    """
    AttentionInterface.register(NAME, packed_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    text = model.config.get_text_config()
    for module in model.modules():
        if getattr(module, "config", None) is text:
            known = module.config._attn_implementation == NAME
            module.config._attn_implementation = NAME
            return not known
    raise InvalidInput("model: no part of it has its text configuration, so its text decoder is not known")
