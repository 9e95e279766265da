"""Attention whose result for a row does not depend on the other rows of the batch, to the bit, in fp32 on CPU.

torch's fused CPU kernel gives other last bits for another batch size (measured, torch 2.13: up to 1e-7), which a sampler turns
into another token now and then. Plain matrix products do not, as long as there are at least 64 keys, a multiple of 8, and every
projection sees at least 8 rows; `key_width` and `ROW_MULTIPLE` are what callers pad to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from rlaifv.core.errors import InvalidInput

Attend = Callable[[torch.nn.Module, Tensor, Tensor, Tensor, float], Tensor]
"""(attention module, query, key, value, scale) to (rows, new tokens, heads, width)."""

_instead: ContextVar[Attend | None] = ContextVar("attend_instead", default=None)

NAME = "rlaifv_row_exact"
ROW_MULTIPLE = 8
_KEY_MULTIPLE, _KEY_MINIMUM = 8, 64


def row_exact_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """transformers' attention interface: query (rows, heads, new tokens, width), key and value (rows, kv heads, keys, width).

    `attention_mask` is boolean, (rows, 1, new tokens, keys), True where attended; a whole prompt at once (as many keys as new
    tokens) goes to the fused kernel.
    """
    rows, heads, new, width = query.shape
    scale = scaling if scaling is not None else width**-0.5
    if (attend := _instead.get()) is not None:
        return attend(module, query, key, value, scale), None
    keys, groups = key.shape[2], heads // key.shape[1]
    if attention_mask is None or new == keys:
        fused: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **kwargs
        )
        return fused
    folded = query.reshape(rows, key.shape[1], groups * new, width)
    scores = torch.matmul(folded, key.transpose(-1, -2)).view(rows, key.shape[1], groups, new, keys)
    scores = (scores * scale).masked_fill(~attention_mask[:, :, None], float("-inf"))
    weights = scores.softmax(-1, dtype=torch.float32).to(value.dtype)
    mixed = torch.matmul(weights.view(rows, key.shape[1], groups * new, keys), value)
    return mixed.view(rows, heads, new, width).transpose(1, 2).contiguous(), None


@contextmanager
def attending(attend: Attend) -> Iterator[None]:
    """Let the text decoder attend by `attend` in forward passes of this thread inside the block."""
    token = _instead.set(attend)
    try:
        yield
    finally:
        _instead.reset(token)


def use_row_exact_attention(model: PreTrainedModel) -> None:
    """Let the model's text decoder attend with `row_exact_attention`; its vision tower is left as it is.

    Raises InvalidInput for a model whose text decoder is not found.
    """
    AttentionInterface.register(NAME, row_exact_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    text = model.config.get_text_config()
    for module in model.modules():
        if getattr(module, "config", None) is text:
            module.config._attn_implementation = NAME
            return
    raise InvalidInput("model: no part of it has its text configuration, so its text decoder is not known")


def key_width(tokens: int) -> int:
    """How many keys to attend to (the surplus masked) for `tokens` of them."""
    return max(_KEY_MINIMUM, padded(tokens, _KEY_MULTIPLE))


def padded(length: int, multiple: int) -> int:
    """`length` rounded up to a multiple, at least one of them."""
    return max(1, -(-length // multiple)) * multiple
