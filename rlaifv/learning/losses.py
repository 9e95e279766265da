"""Losses on summed log-probabilities; they know nothing of models or tokens."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import logsigmoid


@dataclass(frozen=True, slots=True, kw_only=True)
class PairLosses:
    """Per pair, fp32, shape (pairs,). `reward_margin` is detached: it is reported, not learned from."""

    loss: Tensor
    reward_margin: Tensor


def dpo_loss(
    policy_chosen: Tensor, policy_rejected: Tensor, reference_chosen: Tensor, reference_rejected: Tensor, beta: float
) -> PairLosses:
    """Direct preference optimisation (Rafailov et al. 2023, eq. 7; RLAIF-V, sec. 3.3):

        -log sigmoid(beta * ((log pi(w) - log pi(l)) - (log ref(w) - log ref(l))))

    Every tensor holds one summed answer log-probability a pair (natural log, shape (pairs,)); computed in fp32 whatever
    comes in. With policy = reference the loss is ln 2.
    """
    policy = policy_chosen.float() - policy_rejected.float()
    reference = reference_chosen.float() - reference_rejected.float()
    margin = beta * (policy - reference)
    return PairLosses(loss=-logsigmoid(margin), reward_margin=margin.detach())
