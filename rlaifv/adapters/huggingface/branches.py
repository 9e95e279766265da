"""Many short branches of a few long prefixes in one forward pass: questions about pictures, as the labeler asks them.

All tokens lie behind one another in one row, so that every projection is one product without padding. Attention goes branch by
branch: to the prefix, whose keys and values are used where they are and never copied, and to the branch itself.

    tokens    | question 1 | question 2 | question 3 |   ...   | question 1 | question 2 |  ...
    attend to |<-------- picture A ------------------------->| |<------ picture B ---------->|   and to their own past

A branch's result has the same bits in every company, in fp32 on CPU: what is multiplied with what depends on its own length and
prefix only (attention.py says what that takes).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import Cache
from transformers.cache_utils import CacheLayerMixin

from rlaifv.adapters.huggingface.attention import ROW_MULTIPLE, key_width, padded
from rlaifv.adapters.huggingface.prefix import Prefix

_SCORES = {"cpu": 1 << 18, "cuda": 1 << 27}
"""Attention scores at work at once: on a CPU as many as its cache holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """Tokens that go on from a prefix (its number in the pass)."""

    prefix: int
    ids: tuple[int, ...]

    @property
    def width(self) -> int:
        """Its length, with padding where it is very short: products of fewer rows give other bits."""
        return max(len(self.ids), ROW_MULTIPLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    """Branches of one prefix and one width, tokens `start` to `end` of the pass.

    Where they are padded, `spread` (branches * width,) are the tokens' numbers in the pass, a branch's last repeated, and `kept`
    (end - start,) are the places of the real ones in it.
    """

    prefix: int
    start: int
    end: int
    branches: int
    width: int
    spread: Tensor | None = None
    kept: Tensor | None = None

    def read(self, part: Tensor) -> Tensor:
        """Its tokens of a tensor (heads, tokens, width), padded."""
        return part[:, self.start : self.end] if self.spread is None else part[:, self.spread]

    def write(self, mixed: Tensor, into: Tensor) -> None:
        """Put what was found for its padded tokens, (heads, tokens, width), into (tokens of the pass, heads, width)."""
        real = mixed if self.kept is None else mixed[:, self.kept]
        into[self.start : self.end] = real.transpose(0, 1)


class BranchPass:
    """One forward pass over `branches`, in the order of their widths; `order` says which branch came where."""

    def __init__(self, prefixes: Sequence[Prefix], branches: Sequence[Branch]) -> None:
        """All prefixes on one device and of one model; no branch is empty."""
        device = prefixes[0].last_hidden.device
        self.layers = len(prefixes[0].keys)
        self.before = prefixes[0].tokens
        ranked = sorted(range(len(branches)), key=lambda at: (branches[at].prefix, branches[at].width))
        self.order = tuple(ranked)
        chosen = [branches[at] for at in ranked]
        lengths = torch.tensor([len(branch.ids) for branch in chosen])
        self._prefixes = [_Keys(prefix) for prefix in prefixes]
        starts = lengths.cumsum(0) - lengths
        tokens = int(lengths.sum())
        # Projections give a row the same bits in any company of at least so many.
        self.surplus = padded(tokens, ROW_MULTIPLE) - tokens
        ids = [token for branch in chosen for token in branch.ids] + [0] * self.surplus
        self.ids = torch.tensor([ids], device=device)
        begin = torch.tensor([prefixes[branch.prefix].next_position for branch in chosen])
        steps = torch.arange(tokens) - starts.repeat_interleave(lengths)
        self.positions = pad(begin.repeat_interleave(lengths) + steps, (0, self.surplus))[None].to(device)
        self.last = (starts + lengths - 1).to(device)
        heads = prefixes[0].keys[0].shape[1]
        self._blocks = list(_blocks(chosen, starts.tolist(), self._prefixes, heads, device))
        self._future = {
            width: torch.ones(width, padded(width, ROW_MULTIPLE), dtype=torch.bool, device=device).triu(1)
            for width in {block.width for block in self._blocks}
        }

    def attend(self, module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """Query (1, heads, tokens, width), key and value (1, kv heads, tokens, width) to (1, tokens, heads, width)."""
        layer = int(module.layer_idx)  # type: ignore[arg-type]
        mixed = query.new_zeros((query.shape[2], query.shape[1], query.shape[3]))
        projected = (query[0] * scale, key[0], value[0])
        for block in self._blocks:
            block.write(self._attend(block, self._prefixes[block.prefix], layer, projected), mixed)
        return mixed[None]

    def _attend(self, block: _Block, prefix: _Keys, layer: int, projected: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """(heads, padded tokens of the block, width)."""
        query, key, value = (block.read(part) for part in projected)
        heads, rows, size = query.shape
        kv_heads = key.shape[0]
        grouped = (kv_heads, heads // kv_heads, block.branches, block.width)
        own_keys, own_values = (_as_keys(part, block) for part in (key, value))
        seen = prefix.keys[layer].shape[1]
        to_prefix = torch.bmm(query.reshape(kv_heads, -1, size), prefix.keys[layer].transpose(1, 2))
        to_prefix[:, :, prefix.tokens :] = float("-inf")
        to_own = torch.matmul(query.reshape(*grouped, size), own_keys.transpose(-1, -2))
        to_own = to_own.masked_fill(self._future[block.width], float("-inf"))
        scores = torch.cat([to_prefix.view(*grouped, seen), to_own], dim=-1)
        weights = scores.softmax(-1, dtype=torch.float32).to(value.dtype)
        mixed = torch.bmm(weights[..., :seen].reshape(kv_heads, -1, seen), prefix.values[layer]).view(*grouped, size)
        mixed = mixed + torch.matmul(weights[..., seen:], own_values)
        return mixed.view(heads, rows, size)


class _Keys:
    """A prefix's keys and values, each layer (kv heads, padded tokens, width)."""

    def __init__(self, prefix: Prefix) -> None:
        self.tokens = prefix.tokens
        more = key_width(prefix.tokens) - prefix.tokens
        self.keys = [pad(keys[0], (0, 0, 0, more)) for keys in prefix.keys]
        self.values = [pad(values[0], (0, 0, 0, more)) for values in prefix.values]


def _as_keys(part: Tensor, block: _Block) -> Tensor:
    """(kv heads, 1, branches, keys, width) of (kv heads, tokens, width): zeros up to a number of keys that keeps bits."""
    split = part.reshape(part.shape[0], 1, block.branches, block.width, part.shape[2])
    return pad(split, (0, 0, 0, padded(block.width, ROW_MULTIPLE) - block.width))


def _blocks(
    branches: Sequence[Branch], starts: Sequence[int], prefixes: Sequence[_Keys], heads: int, device: torch.device
) -> Iterator[_Block]:
    def kind(at: int) -> tuple[int, int]:
        return branches[at].prefix, branches[at].width

    for (prefix, width), same in groupby(range(len(branches)), key=kind):
        numbers = list(same)
        scores = heads * width * (prefixes[prefix].keys[0].shape[1] + width)
        most = max(1, _SCORES.get(device.type, _SCORES["cuda"]) // scores)
        for begin in range(0, len(numbers), most):
            part = numbers[begin : begin + most]
            end = starts[part[-1]] + len(branches[part[-1]].ids)
            block = _Block(prefix=prefix, start=starts[part[0]], end=end, branches=len(part), width=width)
            lengths = torch.tensor([len(branches[at].ids) for at in part])
            if int(lengths.sum()) < len(part) * width:
                steps = torch.arange(width)
                first = torch.tensor([starts[at] for at in part])
                spread = first[:, None] + torch.minimum(steps, lengths[:, None] - 1)
                kept = (steps < lengths[:, None]).flatten().nonzero()[:, 0]
                block = replace(block, spread=spread.flatten().to(device), kept=kept.to(device))
            yield block


class _PassingLayer(CacheLayerMixin):  # type: ignore[misc]
    """Stores nothing: a branch is read in one pass."""

    def __init__(self, tokens: int) -> None:
        super().__init__()
        self._tokens = tokens
        self.is_initialized = True

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing to make room for."""

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        return key_states, value_states

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return query_length, 0

    def get_seq_length(self) -> int:
        return self._tokens

    def get_max_length(self) -> int:
        return -1


class PassingCache(Cache):  # type: ignore[misc]
    """Tells the model that `tokens` came before, so that it looks for no picture, and gives keys and values back as they come."""

    def __init__(self, layers: int, tokens: int) -> None:
        super().__init__(layers=[_PassingLayer(tokens) for _ in range(layers)])
