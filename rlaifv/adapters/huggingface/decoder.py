"""A model as a decoder with branches: a prompt is read once, then any number of rows go on from it.

The policy branches its samples from one prompt, the labeler its questions from one picture. Each row keeps its keys and values
in its own slots, beginning at 0, so that what a row sees does not depend on where or beside whom it lies in a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear
from transformers import Cache, PreTrainedModel
from transformers.cache_utils import CacheLayerMixin

from rlaifv.adapters.huggingface.attention import ROW_MULTIPLE, attending, key_width, padded, use_row_exact_attention
from rlaifv.adapters.huggingface.branches import BranchPass, PassingCache
from rlaifv.adapters.huggingface.prefix import Prefix
from rlaifv.adapters.huggingface.vision import token_kinds
from rlaifv.core.errors import InvalidInput

_SUPPORTED_LAYERS = {"full_attention", "sliding_attention"}


@dataclass(slots=True)
class _Cursor:
    """Where the next update writes and how far it sees; shared by all layers of a cache."""

    row_index: Tensor
    slots: Tensor
    width: int = 0


class _RowLayer(CacheLayerMixin):  # type: ignore[misc]
    """One layer's keys and values, (rows, kv heads, capacity, width)."""

    def __init__(self, cursor: _Cursor, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self.cursor = cursor
        self.keys = keys
        self.values = values
        self.is_initialized = True

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing: the tensors are given."""

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        cursor = self.cursor
        if key_states.shape[2] == 1:
            self.keys[cursor.row_index, :, cursor.slots[:, 0]] = key_states[:, :, 0]
            self.values[cursor.row_index, :, cursor.slots[:, 0]] = value_states[:, :, 0]
        else:
            self.keys[cursor.row_index[:, None], :, cursor.slots] = key_states.transpose(1, 2)
            self.values[cursor.row_index[:, None], :, cursor.slots] = value_states.transpose(1, 2)
        return self.keys[:, :, : cursor.width], self.values[:, :, : cursor.width]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.cursor.width, 0

    def get_seq_length(self) -> int:
        return self.cursor.width

    def get_max_length(self) -> int:
        return -1


class RowCache(Cache):  # type: ignore[misc]
    """Keys and values of many rows, each in its own slots from 0 up."""

    def __init__(self, prefix: Prefix, rows: int, capacity: int) -> None:
        """Room for `rows` rows of at least `capacity` tokens, in number format and on the device of `prefix`; all empty."""
        capacity = key_width(capacity)
        index = torch.arange(rows, device=prefix.last_hidden.device)
        self.cursor = _Cursor(row_index=index, slots=index.new_zeros((rows, 1)))
        self.rows = rows
        self.capacity = capacity
        super().__init__(
            layers=[
                _RowLayer(self.cursor, _room(keys, rows, capacity), _room(values, rows, capacity))
                for keys, values in zip(prefix.keys, prefix.values, strict=True)
            ]
        )

    def fill(self, prefix: Prefix, rows: Tensor) -> None:
        """Copy a prefix into the first slots of `rows`."""
        for layer, keys, values in zip(self.layers, prefix.keys, prefix.values, strict=True):
            layer.keys[rows, :, : prefix.tokens] = keys
            layer.values[rows, :, : prefix.tokens] = values

    def select(self, kept: Tensor, rows: int, capacity: int) -> None:
        """Keep the rows `kept` in that order and add empty ones up to `rows`, all with room for `capacity` tokens.

        Slots that fall away must be unused.
        """
        capacity = key_width(capacity)
        used = min(capacity, self.capacity)
        for layer in self.layers:
            for name in ("keys", "values"):
                old: Tensor = getattr(layer, name)
                new = _room(old, rows, capacity)
                new[: len(kept), :, :used] = old[kept, :, :used]
                setattr(layer, name, new)
        self.rows, self.capacity = rows, capacity
        self.cursor.row_index = torch.arange(rows, device=kept.device)


def _room(like: Tensor, rows: int, capacity: int) -> Tensor:
    return like.new_zeros((rows, like.shape[1], capacity, like.shape[3]))


class Decoder:
    """Forward passes over prefixes and rows. Not safe between threads: one worker owns one decoder."""

    def __init__(self, model: PreTrainedModel) -> None:
        """Raises InvalidInput for a model whose decoder keeps another memory than keys and values."""
        text = model.config.get_text_config()
        kinds = set(getattr(text, "layer_types", None) or ["full_attention"])
        if not kinds <= _SUPPORTED_LAYERS:
            raise InvalidInput.field(
                "model.layer_types", sorted(kinds - _SUPPORTED_LAYERS), "this decoder is not supported"
            )
        use_row_exact_attention(model)
        self.model = model
        self.device = model.device
        self.context_tokens = context_tokens(model)
        self._body = model.base_model
        self._head = model.get_output_embeddings()
        self._check_head()

    def read(self, ids: Sequence[int], image: dict[str, Any]) -> Prefix:
        """Read a prompt (or its beginning) with its picture. Raises InvalidInput if it fills the model's context."""
        if len(ids) >= self.context_tokens:
            raise InvalidInput(
                f"prompt has {len(ids)} tokens with its image, the model takes under {self.context_tokens}: shorten it"
            )
        tokens = torch.tensor([ids], device=self.device)
        kinds = token_kinds(self.model, tokens)
        output = self._body(input_ids=tokens, attention_mask=torch.ones_like(tokens), use_cache=True, **kinds, **image)
        layers = output.past_key_values.layers
        shift = getattr(self._body, "rope_deltas", None)
        return Prefix(
            keys=tuple(layer.keys for layer in layers),
            values=tuple(layer.values for layer in layers),
            tokens=len(ids),
            next_position=len(ids) + (int(shift.flatten()[0]) if shift is not None else 0),
            last_hidden=output.last_hidden_state[0, -1],
        )

    def extend(self, cache: RowCache, ids: Tensor, slots: Tensor, positions: Tensor) -> Tensor:
        """Hidden states (rows, new tokens, width) after putting `ids` (rows, new tokens) into `slots` of each row.

        Row by row, a token attends to the slots up to its own. `positions` are rotary positions, which run apart from slots in
        models that give an image fewer positions than tokens.
        """
        width = key_width(int(slots.max()) + 1)
        cache.cursor.slots, cache.cursor.width = slots, width
        mask = torch.arange(width, device=slots.device) <= slots[:, None, :, None]
        if getattr(self._body, "rope_deltas", None) is not None:
            positions = positions.expand(3, *positions.shape)
        output = self._body(
            input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
        )
        hidden: Tensor = output.last_hidden_state
        return hidden

    def run(self, branches: BranchPass) -> Tensor:
        """Hidden states (branches, width) of the last token of each branch, in the order of `branches.order`."""
        positions = branches.positions
        if getattr(self._body, "rope_deltas", None) is not None:
            positions = positions.expand(3, *positions.shape)
        with attending(branches.attend):
            output = self._body(
                input_ids=branches.ids,
                attention_mask=torch.ones((1, 1, 1, 1), dtype=torch.bool, device=self.device),
                position_ids=positions,
                past_key_values=PassingCache(branches.layers, branches.before),
                use_cache=True,
            )
        hidden: Tensor = output.last_hidden_state[0, branches.last]
        return hidden

    def logits(self, hidden: Tensor, exact: Tensor | None = None) -> Tensor:
        """fp32 logits (rows, vocabulary) of hidden states (rows, width), without any generation-time processing.

        The tokens `exact` are multiplied out in fp32 whatever the number format of the weights.
        """
        rows = hidden.shape[0]
        if rows % ROW_MULTIPLE:
            hidden = torch.cat([hidden, hidden.new_zeros((padded(rows, ROW_MULTIPLE) - rows, hidden.shape[1]))])
        return head_logits(self.model, self._head, hidden, exact)[:rows]

    def _check_head(self) -> None:
        ids = torch.zeros((1, 8), dtype=torch.long, device=self.device)
        with torch.inference_mode():
            stated = self.model(input_ids=ids).logits[0].float()
            found = self.logits(self._body(input_ids=ids).last_hidden_state[0])
        if not torch.allclose(stated, found, rtol=1e-3, atol=1e-3):
            raise InvalidInput(
                "model: its logits are not a linear function of its last hidden states; it is not supported"
            )


def context_tokens(model: PreTrainedModel) -> int:
    """The most tokens of prompt and answer together: the context, or the attention window where layers have one."""
    text = model.config.get_text_config()
    limits = [int(getattr(text, "max_position_embeddings", None) or 1 << 30)]
    kinds = getattr(text, "layer_types", None)
    window = getattr(text, "sliding_window", None)
    if window and (kinds is None or "sliding_attention" in kinds):
        limits.append(int(window))
    return min(limits)


def head_logits(model: PreTrainedModel, head: Any, hidden: Tensor, exact: Tensor | None = None) -> Tensor:
    """Logits in fp32, with the scaling and capping that some text models state in their configuration.

    A bf16 head rounds logits near 20 to steps of 0.125, which makes ties of verdicts that are none; `exact` names the tokens
    whose logits are worth a multiplication in fp32.
    """
    text = model.config.get_text_config()
    logits: Tensor = head(hidden).float()
    if exact is not None and hidden.dtype != torch.float32:
        bias = head.bias[exact].float() if head.bias is not None else None
        logits[:, exact] = linear(hidden.float(), head.weight[exact].float(), bias)
    if scale := getattr(text, "logit_scale", None):
        logits = logits * scale
    if cap := getattr(text, "final_logit_softcapping", None):
        logits = torch.tanh(logits / cap) * cap
    return logits
