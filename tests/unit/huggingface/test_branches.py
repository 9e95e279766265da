"""Branches in one flat pass against attention with a dense mask, and against a pass of their own."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlaifv.adapters.huggingface import branches as module
from rlaifv.adapters.huggingface.branches import Branch, BranchPass
from rlaifv.adapters.huggingface.prefix import Prefix

WIDTH = 16


class Layer(torch.nn.Module):
    """An attention module as far as `attend` looks at it."""

    layer_idx = 0


def prefix(tokens: int, kv_heads: int, seed: int) -> Prefix:
    generator = torch.Generator().manual_seed(seed)
    keys, values = (torch.randn(1, kv_heads, tokens, WIDTH, generator=generator) for _ in range(2))
    return Prefix(
        keys=(keys,), values=(values,), tokens=tokens, next_position=tokens + 3, last_hidden=torch.zeros(WIDTH)
    )


def dense(
    work: BranchPass, prefixes: list[Prefix], branches: list[Branch], projected: tuple[torch.Tensor, ...]
) -> torch.Tensor:
    """Each token's attention written out: softmax over its prefix and its branch up to itself."""
    query, key, value = (part[0] for part in projected)
    groups = query.shape[0] // key.shape[0]
    rows = []
    at = 0
    for number in work.order:
        mine = prefixes[branches[number].prefix]
        for step in range(len(branches[number].ids)):
            own = slice(at, at + step + 1)
            keys = torch.cat([mine.keys[0][0], key[:, own]], dim=1).repeat_interleave(groups, 0)
            values = torch.cat([mine.values[0][0], value[:, own]], dim=1).repeat_interleave(groups, 0)
            scores = (keys @ query[:, at + step, :, None])[..., 0] / math.sqrt(WIDTH)
            rows.append((scores.softmax(-1)[:, None] @ values)[:, 0])
        at += len(branches[number].ids)
    return torch.stack(rows)


lengths = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 20)), min_size=1, max_size=12)


@given(
    lengths=lengths,
    kv_heads=st.sampled_from([1, 2]),
    groups=st.sampled_from([1, 3]),
    scores=st.sampled_from([1, 1 << 18]),
)
def test_every_token_attends_to_its_prefix_and_its_own_past(
    lengths: list[tuple[int, int]], kv_heads: int, groups: int, scores: int
) -> None:
    prefixes = [prefix(tokens, kv_heads, seed) for seed, tokens in enumerate((5, 64, 90))]
    branches = [Branch(prefix=number, ids=tuple(range(1, length + 1))) for number, length in lengths]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(module._SCORES, "cpu", scores)
        work = BranchPass(prefixes, branches)
    tokens = work.ids.shape[1]
    assert tokens % 8 == 0
    generator = torch.Generator().manual_seed(len(lengths))
    query = torch.randn(1, kv_heads * groups, tokens, WIDTH, generator=generator)
    key, value = (torch.randn(1, kv_heads, tokens, WIDTH, generator=generator) for _ in range(2))
    found = work.attend(Layer(), query, key, value, WIDTH**-0.5)[0]
    expected = dense(work, prefixes, branches, (query, key, value))
    torch.testing.assert_close(found[: len(expected)], expected, atol=1e-5, rtol=1e-4)


@given(lengths=lengths)
def test_the_layout_holds_every_token_once_in_its_place(lengths: list[tuple[int, int]]) -> None:
    prefixes = [prefix(tokens, 1, tokens) for tokens in (5, 64, 90)]
    branches = [Branch(prefix=number, ids=tuple(range(1, length + 1))) for number, length in lengths]
    work = BranchPass(prefixes, branches)
    assert sorted(work.order) == list(range(len(branches)))
    at = 0
    for place, number in enumerate(work.order):
        branch = branches[number]
        end = at + len(branch.ids)
        first = prefixes[branch.prefix].next_position
        assert tuple(work.ids[0, at:end].tolist()) == branch.ids
        assert work.positions[0, at:end].tolist() == list(range(first, first + len(branch.ids)))
        assert int(work.last[place]) == end - 1
        at = end
    assert work.ids.shape[1] == at + work.surplus < at + 8
