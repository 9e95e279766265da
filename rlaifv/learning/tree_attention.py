"""Attention over a pack of trees on CPU: every token attends to its prompt and to its own branch up to itself.

Three kinds of dense blocks make it up, and nothing else is multiplied out: prompts causally, all branch tokens of a tree against
its prompt at once, and each branch causally against itself. The two parts of a branch token's attention are joined by their
log-sum-exps; in the backward pass each block is told the joined result, from which its weights are those of the whole softmax
(as in ring attention, Liu et al. 2023, arXiv 2310.01889). No mask and no copy of a prompt's keys is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rlaifv.learning.packing import Span

_forward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


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


class _TreeAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, spans: tuple[Span, ...], scale: float, whole: bool
    ) -> Tensor:
        output = _room(query, whole)
        norm = query.new_empty(query.shape[:3], dtype=torch.float32)
        for span in spans:
            prompt, branches = slice(span.start, span.fork), slice(span.fork, span.end)
            asked = prompt if whole else slice(span.fork - 1, span.fork)
            output[:, :, asked], norm[:, :, asked] = _attend(query, key, value, asked, prompt, whole, scale)
            if span.end > span.fork:
                far, far_norm = _attend(query, key, value, branches, prompt, False, scale)
                near = [_attend(query, key, value, run, run, True, scale) for run in span.runs()]
                near_norm = torch.cat([one[1] for one in near], dim=2)
                share = torch.sigmoid(near_norm - far_norm)[..., None].to(far.dtype)
                output[:, :, branches] = torch.lerp(far, torch.cat([one[0] for one in near], dim=2), share)
                norm[:, :, branches] = torch.logaddexp(far_norm, near_norm)
        ctx.save_for_backward(query, key, value, output, norm)
        ctx.spans, ctx.scale, ctx.whole = spans, scale, whole
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, output, norm = ctx.saved_tensors
        gradient = gradient if gradient.stride(-1) == 1 else gradient.contiguous()
        of_query, of_key, of_value = _room(query, ctx.whole), _room(key), _room(value)

        def block(queries: slice, keys: slice, causal: bool) -> tuple[Tensor, Tensor, Tensor]:
            cut = [
                tensor[:, :, part]
                for tensor, part in ((gradient, queries), (query, queries), (key, keys), (value, keys))
            ]
            found: tuple[Tensor, Tensor, Tensor] = _backward(
                *cut, output[:, :, queries], norm[:, :, queries], 0.0, causal, scale=ctx.scale
            )
            return found

        for span in ctx.spans:
            prompt, branches = slice(span.start, span.fork), slice(span.fork, span.end)
            asked = prompt if ctx.whole else slice(span.fork - 1, span.fork)
            of_query[:, :, asked], of_key[:, :, prompt], of_value[:, :, prompt] = block(asked, prompt, ctx.whole)
            if span.end > span.fork:
                of_query[:, :, branches], more_key, more_value = block(branches, prompt, False)
                of_key[:, :, prompt] += more_key
                of_value[:, :, prompt] += more_value
            for run in span.runs():
                more_query, of_key[:, :, run], of_value[:, :, run] = block(run, run, True)
                of_query[:, :, run] += more_query
        return of_query, of_key, of_value, None, None, None


def _attend(
    query: Tensor, key: Tensor, value: Tensor, queries: slice, keys: slice, causal: bool, scale: float
) -> tuple[Tensor, Tensor]:
    """Attention of one block, and the log-sum-exp of each query's scores, (1, heads, queries), fp32."""
    found: tuple[Tensor, Tensor] = _forward(
        query[:, :, queries], key[:, :, keys], value[:, :, keys], 0.0, causal, scale=scale
    )
    return found


def _room(like: Tensor, whole: bool = True) -> Tensor:
    """Room for a tensor of that shape, token by token in memory, as the projections around it have it; zeros unless `whole`."""
    made = torch.empty_like if whole else torch.zeros_like
    return made(like.transpose(1, 2), memory_format=torch.contiguous_format).transpose(1, 2)
