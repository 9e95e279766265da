"""The DPO loss against numbers worked out by hand and against finite differences."""

from __future__ import annotations

import math

import pytest
import torch

from rlaifv.learning.losses import dpo_loss
from rlaifv.learning.objectives import DpoObjective, PairLogprobs


def test_first_loss_is_ln_2_where_policy_is_reference() -> None:
    chosen, rejected = torch.tensor([-12.5, -80.0]), torch.tensor([-9.0, -120.0])
    result = dpo_loss(chosen, rejected, chosen, rejected, beta=0.1)
    torch.testing.assert_close(result.loss, torch.full((2,), math.log(2.0)))
    torch.testing.assert_close(result.reward_margin, torch.zeros(2))


@pytest.mark.parametrize(
    ("policy", "reference", "beta", "margin"),
    [
        ((-10.0, -20.0), (-12.0, -15.0), 0.1, 0.7),  # 0.1 * ((-10 + 20) - (-12 + 15))
        ((-30.0, -10.0), (-20.0, -10.0), 0.1, -1.0),
        ((-1.0, -2.0), (-2.0, -1.0), 0.5, 1.0),
        ((-5.0, -5.0), (-5.0, -505.0), 0.1, -50.0),
    ],
)
def test_hand_computed(policy: tuple[float, float], reference: tuple[float, float], beta: float, margin: float) -> None:
    values = [torch.tensor([v]) for v in (*policy, *reference)]
    result = dpo_loss(*values, beta=beta)
    assert result.reward_margin.item() == pytest.approx(margin, abs=1e-6)
    assert result.loss.item() == pytest.approx(math.log1p(math.exp(-margin)), rel=1e-6)


def test_extreme_margins_stay_finite() -> None:
    far = torch.tensor([-1e4, 0.0])
    result = dpo_loss(far, far.flip(0), torch.zeros(2), torch.zeros(2), beta=10.0)
    assert torch.isfinite(result.loss).all()


def test_half_precision_input_is_computed_in_fp32() -> None:
    values = [torch.tensor([v], dtype=torch.bfloat16) for v in (-10.0, -20.0, -12.0, -15.0)]
    assert dpo_loss(*values, beta=0.1).loss.dtype == torch.float32


def test_gradient_by_finite_difference() -> None:
    generator = torch.Generator().manual_seed(0)
    chosen, rejected, ref_chosen, ref_rejected = (torch.randn(5, generator=generator) * 5 - 20 for _ in range(4))
    chosen.requires_grad_()
    rejected.requires_grad_()
    dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta=0.3).loss.mean().backward()
    step = 1e-2
    for values, gradient in ((chosen, chosen.grad), (rejected, rejected.grad)):
        assert gradient is not None
        for i in range(5):
            moved = []
            for sign in (1, -1):
                shifted = values.detach().clone()
                shifted[i] += sign * step
                pair = (shifted, rejected) if values is chosen else (chosen, shifted)
                moved.append(dpo_loss(*pair, ref_chosen, ref_rejected, beta=0.3).loss.mean().item())
            assert gradient[i].item() == pytest.approx((moved[0] - moved[1]) / (2 * step), abs=2e-4)


def test_objective_looks_up_the_reference_of_its_pairs() -> None:
    reference = PairLogprobs(chosen=torch.tensor([0.0, -10.0, -20.0]), rejected=torch.tensor([0.0, -11.0, -22.0]))
    objective = DpoObjective(
        score=lambda pairs: PairLogprobs(chosen=torch.tensor([-20.0, -10.0]), rejected=torch.tensor([-24.0, -11.0])),
        reference=reference,
        beta=0.5,
    )
    output = objective([2, 1])
    torch.testing.assert_close(output.metrics["reward_margin"], torch.tensor([1.0, 0.0]))
    assert output.metrics["accuracy"].tolist() == [1.0, 0.0]
    assert output.metrics["chosen_logprob"].tolist() == [-20.0, -10.0]


def test_the_chosen_answers_own_loss_is_added_and_not_reported_as_dpo() -> None:
    """By hand: margin 0 gives ln 2; the anchor adds 0.1 * 3 and 0.1 * 5, with gradient -0.1 towards the chosen answers."""
    chosen = torch.tensor([-3.0, -5.0], requires_grad=True)
    scored = PairLogprobs(chosen=chosen, rejected=torch.tensor([-4.0, -9.0]))
    reference = PairLogprobs(chosen=torch.tensor([-3.0, -5.0]), rejected=torch.tensor([-4.0, -9.0]))
    output = DpoObjective(score=lambda _: scored, reference=reference, beta=0.1, sft_weight=0.1)([0, 1])
    assert output.loss.tolist() == pytest.approx([math.log(2) + 0.3, math.log(2) + 0.5])
    assert output.metrics["dpo_loss"].tolist() == pytest.approx([math.log(2)] * 2)
    output.loss.sum().backward()
    assert chosen.grad is not None
    assert chosen.grad.tolist() == pytest.approx([-0.1 - 0.05] * 2)
