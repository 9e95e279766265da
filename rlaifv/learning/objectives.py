"""What a training loop minimises. An objective turns example numbers into losses; DPO is the first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from rlaifv.learning.losses import dpo_loss


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveOutput:
    """`loss` has one fp32 value an example (with gradient); `metrics` are detached, one value an example under each name."""

    loss: Tensor
    metrics: dict[str, Tensor] = field(default_factory=dict)


class Objective(Protocol):
    """Losses of some examples under the present weights."""

    def __call__(self, examples: Sequence[int]) -> ObjectiveOutput:
        """`examples` are numbers from 0 to the size of the data set; gradients flow into the weights being trained."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PairLogprobs:
    """Summed answer log-probabilities of preference pairs, fp32, each of shape (pairs,)."""

    chosen: Tensor
    rejected: Tensor


PairScorer = Callable[[Sequence[int]], PairLogprobs]
"""Pair numbers to their log-probabilities; how sequences are laid out (padded, packed, prompt shared) is its own affair."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DpoObjective:
    """DPO against stored reference log-probabilities (RLAIF-V, sec. 3.3); `reference` has one entry for every pair.

    `sft_weight` times minus the chosen answer's log-probability is added to the loss, as the published code can be told to.
    """

    score: PairScorer
    reference: PairLogprobs
    beta: float
    sft_weight: float = 0.0

    def __call__(self, examples: Sequence[int]) -> ObjectiveOutput:
        policy = self.score(examples)
        chosen = torch.stack([self.reference.chosen[i] for i in examples]).to(policy.chosen.device)
        rejected = torch.stack([self.reference.rejected[i] for i in examples]).to(policy.chosen.device)
        losses = dpo_loss(policy.chosen, policy.rejected, chosen, rejected, self.beta)
        return ObjectiveOutput(
            loss=losses.loss - self.sft_weight * policy.chosen.float(),
            metrics={
                "dpo_loss": losses.loss.detach(),
                "reward_margin": losses.reward_margin,
                "accuracy": (losses.reward_margin > 0).float(),
                "chosen_logprob": policy.chosen.detach(),
                "rejected_logprob": policy.rejected.detach(),
            },
        )
