"""Log-probabilities of answer tokens, without a vocabulary-wide tensor for tokens that are not learned from."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from rlaifv.learning.sequences import SequenceBatch

Head = Callable[[Tensor], Tensor]
"""Hidden states (tokens, width) to logits (tokens, vocabulary)."""


def token_logprobs(hidden: Tensor, targets: Tensor, head: Head, chunk_tokens: int = 4096) -> Tensor:
    """log softmax(head(hidden))[targets], fp32, shape (tokens,).

    `hidden` has shape (tokens, width). At most `chunk_tokens` rows of logits exist at a time: with more tokens than that
    the logits are computed again in the backward pass instead of being kept.
    """
    tokens = hidden.shape[0]
    if tokens <= chunk_tokens:
        return _logprobs(hidden, targets, head)
    parts = [
        checkpoint(_logprobs, part, target, head, use_reentrant=False)
        for part, target in zip(torch.split(hidden, chunk_tokens), torch.split(targets, chunk_tokens), strict=True)
    ]
    return torch.cat(parts)


def answer_logprobs(hidden: Tensor, batch: SequenceBatch, head: Head, chunk_tokens: int = 4096) -> Tensor:
    """Summed log-probability of each sequence's answer, end of sequence included; fp32, shape (sequences,).

    `hidden` holds the model's last hidden states for `batch`, shape (sequences, tokens, width). Prompt, image and padding
    positions never reach the head (RLAIF-V, sec. 3.3: sum over answer tokens).
    """
    answer = batch.answer.to(hidden.device)
    flat = token_logprobs(
        hidden[batch.predictors.to(hidden.device)], batch.targets.to(hidden.device), head, chunk_tokens
    )
    rows = answer.nonzero()[:, 0]
    return torch.zeros(answer.shape[0], dtype=torch.float32, device=hidden.device).index_add(0, rows, flat)


def _logprobs(hidden: Tensor, targets: Tensor, head: Head) -> Tensor:
    # One pass over the logits each way, and nothing of their size is kept but the log-softmax.
    return -cross_entropy(head(hidden).float(), targets, reduction="none")
