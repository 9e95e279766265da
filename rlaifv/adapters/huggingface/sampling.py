"""From logits to the next token of each row, with that row's own random numbers (RLAIF-V, sec. 3.1)."""

from __future__ import annotations

import torch
from torch import Tensor


def uniform_numbers(seed: int, count: int) -> Tensor:
    """The `count` numbers in [0, 1) that a candidate spends, one a token; fp64, a pure function of the seed."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, generator=generator, dtype=torch.float64)


def draw(logits: Tensor, temperature: Tensor, top_p: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """One token a row and its log-probability under the untempered distribution.

    `logits` fp32 (rows, vocabulary); `temperature`, `top_p`, `uniform` (rows,). Temperature 0 takes the likeliest token, the
    lowest id among equals. Otherwise the token is where `uniform` falls in the cumulated distribution in order of ids, so that
    a row's token depends on nothing but the row. Returns ids (rows,) and natural logs (rows,), fp32.
    """
    greedy = temperature == 0
    scaled = logits.double() / torch.where(greedy, 1.0, temperature.double())[:, None]
    probabilities = scaled.softmax(-1)
    if bool((top_p < 1).any()):
        probabilities = _nucleus(probabilities, top_p.double())
    cumulated = probabilities.cumsum(-1)
    target = uniform.double()[:, None] * cumulated[:, -1:]
    sampled = torch.searchsorted(cumulated, target, right=True)[:, 0].clamp(max=logits.shape[-1] - 1)
    tokens = torch.where(greedy, logits.argmax(-1), sampled)
    return tokens, logits.log_softmax(-1).gather(-1, tokens[:, None])[:, 0]


def _nucleus(probabilities: Tensor, top_p: Tensor) -> Tensor:
    """Zero outside the smallest set of likeliest tokens that holds at least `top_p`; equal ones in order of ids."""
    ordered, ids = probabilities.sort(dim=-1, descending=True, stable=True)
    before = ordered.cumsum(-1) - ordered
    kept = ordered.masked_fill((before >= top_p[:, None]) & (top_p < 1)[:, None], 0.0)
    return torch.zeros_like(probabilities).scatter(-1, ids, kept)
