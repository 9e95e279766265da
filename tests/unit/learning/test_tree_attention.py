"""Tree attention against torch's own with a dense mask: results and gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from rlaifv.learning.packing import Pack, grow, lay_out
from rlaifv.learning.sequences import join
from rlaifv.learning.tree_attention import dense_mask, far_blocks, near_runs, tree_attention

WIDTH, SCALE = 8, 0.3
Way = Callable[[Tensor, Tensor, Tensor], Tensor]


def pack(*trees: tuple[int, tuple[int, ...]]) -> Pack:
    """By tree: tokens of the prompt, and tokens of each branch in the pack."""
    sequences, keys = [], []
    for number, (prompt, branches) in enumerate(trees):
        for branch, tokens in enumerate(branches):
            sequences.append(join([1] * prompt, [branch + 3] * tokens, 2))
            keys.append(number)
    return lay_out(grow(sequences, keys).trees)


def states(tokens: int, heads: int, kv_heads: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Query, key, value, laid out in memory as projections give them, and the gradient of the result."""
    chance = torch.Generator().manual_seed(tokens)
    return [
        torch.randn(1, tokens, count, WIDTH, generator=chance).to(dtype).transpose(1, 2)
        for count in (heads, kv_heads, kv_heads, heads)
    ]


def dense(query: Tensor, key: Tensor, value: Tensor, made: Pack) -> Tensor:
    return scaled_dot_product_attention(
        query, key, value, attn_mask=dense_mask(*made.lineage), scale=SCALE, enable_gqa=True
    )


def compare(made: Pack, heads: int, kv_heads: int, dtype: torch.dtype, within: float) -> None:
    """With a dense mask in fp32."""
    *inputs, gradient = states(made.tokens, heads, kv_heads, dtype)

    def stated(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return dense(query.float(), key.float(), value.float(), made).to(dtype)

    compare_gradients(lambda q, k, v: tree_attention(q, k, v, made.spans, SCALE), stated, inputs, gradient, within)


def compare_gradients(
    found: Way, stated: Way, inputs: Sequence[Tensor], gradient: Tensor, within: float = 2e-5
) -> None:
    results = []
    for way in (found, stated):
        leaves = [one.detach().requires_grad_() for one in inputs]
        output = way(*leaves)
        output.backward(gradient)
        results.append([output, *(leaf.grad for leaf in leaves)])
    for mine, theirs in zip(*results, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=within, atol=within)


@settings(max_examples=40, deadline=None)
@given(
    trees=st.lists(
        st.tuples(st.integers(1, 40), st.lists(st.integers(0, 20), min_size=1, max_size=5)), max_size=4
    ).filter(bool),
    heads=st.sampled_from([(2, 2), (4, 2), (6, 2), (4, 1)]),
)
def test_results_and_gradients_are_those_of_a_dense_mask(
    trees: list[tuple[int, list[int]]], heads: tuple[int, int]
) -> None:
    compare(pack(*((prompt, tuple(branches)) for prompt, branches in trees)), *heads, torch.float32, 2e-5)


@pytest.mark.parametrize("whole", [True, False])
def test_every_pair_of_tokens_that_counts_is_in_one_block(whole: bool) -> None:
    made = pack((700, (60, 0, 20)), (1, (4,)), (256, (300,)), (400, (0,)))
    times = torch.zeros(made.tokens, made.tokens, dtype=torch.long)
    for run in near_runs(made.spans, whole):
        times[run, run] += torch.ones(run.stop - run.start, run.stop - run.start, dtype=torch.long).tril()
    for queries, keys in far_blocks(made.spans, whole):
        times[queries, keys] += 1
    stated = dense_mask(*made.lineage).long()
    if not whole:
        unread = torch.ones(made.tokens, dtype=torch.bool)
        unread[made.predictors] = False
        stated[unread] = 0
    assert torch.equal(times, stated)


@pytest.mark.parametrize("kv_heads", [4, 2])
def test_what_nobody_reads_may_be_left_out(kv_heads: int) -> None:
    """The rows that predict answers, and gradients through them, are as they were; the other rows of the prompts are 0."""
    made = pack((70, (20, 0)), (1, (4,)), (300, (3, 33)))
    *inputs, gradient = states(made.tokens, 4, kv_heads)
    read = torch.zeros(made.tokens, dtype=torch.bool)
    read[made.predictors] = True
    compare_gradients(
        lambda q, k, v: tree_attention(q, k, v, made.spans, SCALE, whole=False),
        lambda q, k, v: dense(q, k, v, made) * read[:, None],
        inputs,
        gradient * read[:, None],
    )


def test_prompts_of_more_than_one_block_of_the_kernel() -> None:
    compare(pack((900, (70, 30)), (5, (600, 1))), 2, 1, torch.float32, 2e-5)


def test_bf16_rounds_as_much_as_it_must() -> None:
    compare(pack((70, (20, 30, 0)), (33, (40,))), 4, 2, torch.bfloat16, 5e-2)


@pytest.mark.parametrize("scale", [1.0, 80.0])
def test_scores_far_apart_stay_finite(scale: float) -> None:
    """One part of a branch's softmax may outweigh the other by any factor."""
    made = pack((9, (7, 5)))
    query, key, value, _ = states(made.tokens, 2, 2)
    key[:, :, 9:] *= scale
    found = tree_attention(query, key, value, made.spans, SCALE)
    torch.testing.assert_close(found, dense(query, key, value, made), rtol=1e-4, atol=1e-4)


def test_a_gradient_that_is_one_number_spread_out() -> None:
    made = pack((9, (7, 5)))
    query, key, value, _ = states(made.tokens, 2, 2)
    mine, other = query.detach().requires_grad_(), query.detach().requires_grad_()
    tree_attention(mine, key, value, made.spans, SCALE).sum().backward()
    dense(other, key, value, made).sum().backward()
    torch.testing.assert_close(mine.grad, other.grad, rtol=1e-5, atol=1e-5)
