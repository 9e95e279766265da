"""Attention over a pack of trees on CPU: every token attends to its prompt and to its own branch up to itself.

Three kinds of dense blocks make it up, and nothing else is multiplied out: prompts causally, all branch tokens of a tree against
its prompt at once, and each branch causally against itself. The two parts of a branch token's attention are joined by their
log-sum-exps; in the backward pass each block is told the joined result, from which its weights are those of the whole softmax
(as in ring attention, Liu et al. 2023, arXiv 2310.01889). No mask and no copy of a prompt's keys is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rlaifv.learning.packing import Span

_forward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward

_RUN_TOKENS = 256
"""About as long are the runs that a prompt is cut into; measured at prompts of 276, 596 and 1,200 tokens."""


def tree_attention(
    query: Tensor, key: Tensor, value: Tensor, spans: Sequence[Span], scale: float, whole: bool = True
) -> Tensor:
    """`query` (1, heads, tokens, width), `key` and `value` (1, kv heads, tokens, width), CPU, fp32 or bf16; result as `query`.

    Unless `whole`, the result is 0 for all of a prompt but its last token: nothing predicts an answer from the others.
    """
    result: Tensor = _TreeAttention.apply(query, key, value, tuple(spans), scale, whole)  # type: ignore[no-untyped-call]
    return result


def dense_mask(tree: Tensor, branch: Tensor) -> Tensor:
    """The same attention as a boolean matrix (tokens, tokens), True where attended; from `Pack.lineage`."""
    at = torch.arange(len(tree), device=tree.device)
    return attends(tree, branch, at[:, None], at[None, :])


def attends(tree: Tensor, branch: Tensor, reader: Tensor, read: Tensor) -> Tensor:
    """Whether the tokens at `reader` attend to those at `read`, element by element; indices into `Pack.lineage`."""
    same = tree[reader] == tree[read]
    own = (branch[read] == -1) | (branch[reader] == branch[read])
    return (reader >= read) & same & own


_Block = tuple[slice, slice]
"""Queries and keys."""


def near_runs(spans: Sequence[Span], whole: bool) -> Iterator[slice]:
    """Runs that attend to themselves causally. Every token is in one, but for those of prompts that nobody reads."""
    for span in spans:
        yield from _cut(span.start, span.fork) if whole else [slice(span.fork - 1, span.fork)]
        yield from span.runs()


def far_blocks(spans: Sequence[Span], whole: bool) -> Iterator[_Block]:
    """Runs with what all their tokens attend to before them: the prompt so far, or the prompt of some branches."""
    for span in spans:
        asked = _cut(span.start, span.fork) if whole else [slice(span.fork - 1, span.fork)]
        yield from ((run, slice(span.start, run.start)) for run in asked if run.start > span.start)
        if span.end > span.fork:
            yield slice(span.fork, span.end), slice(span.start, span.fork)


def _cut(begin: int, end: int) -> list[slice]:
    """About equal runs of a prompt. The kernel multiplies out most of a causal block, also the half that is masked."""
    count = max(1, round((end - begin) / _RUN_TOKENS))
    edges = [begin + (end - begin) * at // count for at in range(count + 1)]
    return [slice(first, last) for first, last in pairwise(edges)]


class _TreeAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, spans: tuple[Span, ...], scale: float, whole: bool
    ) -> Tensor:
        output = _room(query, whole)
        norm = query.new_empty(query.shape[:3], dtype=torch.float32)

        def attend(queries: slice, keys: slice, causal: bool) -> tuple[Tensor, Tensor]:
            """The block's result, and the log-sum-exp of each query's scores, fp32."""
            found: tuple[Tensor, Tensor] = _forward(
                query[:, :, queries], key[:, :, keys], value[:, :, keys], 0.0, causal, scale=scale
            )
            return found

        for run in near_runs(spans, whole):
            output[:, :, run], norm[:, :, run] = attend(run, run, True)
        for queries, keys in far_blocks(spans, whole):
            far, far_norm = attend(queries, keys, False)
            near_norm = norm[:, :, queries]
            share = torch.sigmoid(far_norm - near_norm)[..., None].to(far.dtype)
            output[:, :, queries].lerp_(far, share)
            norm[:, :, queries] = torch.logaddexp(far_norm, near_norm)
        ctx.save_for_backward(query, key, value, output, norm)
        ctx.spans, ctx.scale, ctx.whole = spans, scale, whole
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, output, norm = ctx.saved_tensors
        gradient = gradient if gradient.stride(-1) == 1 else gradient.contiguous()
        of_query, of_key, of_value = (_room(one, ctx.whole) for one in (query, key, value))

        def block(queries: slice, keys: slice, causal: bool) -> tuple[Tensor, Tensor, Tensor]:
            cut = [one[:, :, part] for one, part in ((gradient, queries), (query, queries), (key, keys), (value, keys))]
            found: tuple[Tensor, Tensor, Tensor] = _backward(
                *cut, output[:, :, queries], norm[:, :, queries], 0.0, causal, scale=ctx.scale
            )
            return found

        for run in near_runs(ctx.spans, ctx.whole):
            of_query[:, :, run], of_key[:, :, run], of_value[:, :, run] = block(run, run, True)
        for queries, keys in far_blocks(ctx.spans, ctx.whole):
            more_query, more_key, more_value = block(queries, keys, False)
            of_query[:, :, queries] += more_query
            of_key[:, :, keys] += more_key
            of_value[:, :, keys] += more_value
        return of_query, of_key, of_value, None, None, None


def _room(like: Tensor, whole: bool) -> Tensor:
    """Room for a tensor of that shape, token by token in memory, as the projections around it have it; zeros unless `whole`."""
    made = torch.empty_like if whole else torch.zeros_like
    return made(like.transpose(1, 2), memory_format=torch.contiguous_format).transpose(1, 2)
