"""The loop: order, schedule, accumulation, and a state from which the rest has the same bits."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, groupby, pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import Dropout, Linear

from rlaifv.core.errors import BackendFailed, InvalidInput
from rlaifv.learning.loop import LoopSettings, TrainingLoop, epoch_order
from rlaifv.learning.objectives import ObjectiveOutput
from rlaifv.learning.schedule import learning_rate


class Regression:
    """Least squares with dropout: a toy objective with randomness in it."""

    def __init__(self, dropout: float = 0.3) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.model = Linear(4, 1)
            self.inputs = torch.randn(10, 4)
            self.targets = torch.randn(10)
        self.dropout = Dropout(dropout)
        self.seen: list[list[int]] = []

    def __call__(self, examples: Sequence[int]) -> ObjectiveOutput:
        self.seen.append(list(examples))
        index = torch.tensor(list(examples))
        error = self.model(self.dropout(self.inputs[index]))[:, 0] - self.targets[index]
        return ObjectiveOutput(loss=error.square(), metrics={"error": error.detach().abs()})


def settings(**changes: object) -> LoopSettings:
    values: dict[str, object] = {
        "examples": 10,
        "epochs": 3,
        "batch_size": 4,
        "micro_batch_size": 2,
        "learning_rate": 0.05,
        "warmup_ratio": 0.2,
        "weight_decay": 0.01,
        "max_grad_norm": 1.0,
        "seed": 7,
    }
    return LoopSettings(**{**values, **changes})  # type: ignore[arg-type]


def loop_over(objective: Regression, **changes: object) -> TrainingLoop:
    return TrainingLoop(dict(objective.model.named_parameters()), objective, settings(**changes))


def weights(objective: Regression) -> list[list[float]]:
    return [parameter.detach().flatten().tolist() for parameter in objective.model.parameters()]


def test_order_is_a_function_of_seed_and_epoch() -> None:
    alone = range(50)
    assert epoch_order(alone, 1, 0) == epoch_order(alone, 1, 0)
    assert len({epoch_order(alone, seed, epoch) for seed in (1, 2) for epoch in (0, 1)}) == 4
    assert sorted(epoch_order(alone, 1, 0)) == list(alone)


@given(groups=st.lists(st.integers(0, 8), max_size=30), seed=st.integers(0, 5))
def test_a_groups_examples_stay_together(groups: list[int], seed: int) -> None:
    order = epoch_order(groups, seed, 0)
    assert sorted(order) == list(range(len(groups)))
    runs = [group for group, _ in groupby(groups[example] for example in order)]
    assert len(runs) == len(set(groups))


def test_groups_and_their_examples_are_shuffled() -> None:
    groups = [0] * 10 + [1] * 10 + [2] * 10
    orders = [epoch_order(groups, 3, epoch) for epoch in range(12)]
    assert len({tuple(dict.fromkeys(groups[example] for example in order)) for order in orders}) > 2
    assert len({tuple(example for example in order if example < 10) for order in orders}) == 12


def test_groups_of_some_examples_only_are_refused() -> None:
    with pytest.raises(InvalidInput, match="groups = 2: must name the group of all 10 examples"):
        loop_over(Regression(), groups=(0, 1))


def test_every_example_once_an_epoch_and_the_last_step_may_be_smaller() -> None:
    objective = Regression()
    reports = list(loop_over(objective).run())
    assert [report.examples for report in reports] == [4, 4, 2] * 3
    assert [report.step for report in reports] == list(range(1, 10))
    assert sorted(chain.from_iterable(objective.seen[:5])) == list(range(10))


def test_loss_is_the_mean_over_the_step_whatever_the_micro_batches() -> None:
    results = []
    for micro in (1, 2, 4):
        objective = Regression(dropout=0.0)
        reports = list(loop_over(objective, micro_batch_size=micro).run())
        results.append(([report.loss for report in reports], list(chain.from_iterable(weights(objective)))))
    for losses, final in results[1:]:
        assert losses == pytest.approx(results[0][0], rel=1e-5)
        assert final == pytest.approx(results[0][1], rel=1e-4)


@pytest.mark.parametrize("stop", [0, 1, 4, 8])
def test_a_resumed_run_has_the_same_bits(stop: int) -> None:
    whole = Regression()
    list(loop_over(whole).run())
    first = Regression()
    begun = loop_over(first)
    for _ in range(stop):
        begun.run_step()
    state = begun.state()
    torch.rand(5)
    second = Regression()
    resumed = loop_over(second)
    resumed.load_state(state)
    list(resumed.run())
    assert weights(second) == weights(whole)
    assert weights(first) != weights(whole)


def test_the_callers_random_numbers_are_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    loop_over(Regression()).run_step()
    assert torch.equal(torch.rand(3), expected)


def test_a_state_of_other_weights_is_refused() -> None:
    state = loop_over(Regression()).state()
    del state.tensors["weight/bias"]
    with pytest.raises(InvalidInput, match="weight/bias"):
        loop_over(Regression()).load_state(state)


def test_stop_is_asked_between_steps() -> None:
    loop = loop_over(Regression())
    assert len(list(loop.run(should_stop=lambda: loop.step >= 2))) == 2


def test_a_loss_that_is_not_finite_ends_the_run_and_leaves_the_weights() -> None:
    objective = Regression(dropout=0.0)
    before = weights(objective)
    objective.targets[:] = float("nan")
    with pytest.raises(BackendFailed, match="step 1"):
        loop_over(objective).run_step()
    assert weights(objective) == before


def test_gradients_are_clipped() -> None:
    free, clipped = Regression(0.0), Regression(0.0)
    free.targets *= 1000
    clipped.targets *= 1000
    assert loop_over(clipped, max_grad_norm=0.1).run_step().grad_norm > 10
    assert all(p.grad is not None for p in clipped.model.parameters())
    norm = torch.stack([p.grad.norm() for p in clipped.model.parameters() if p.grad is not None]).norm()
    assert norm.item() == pytest.approx(0.1, rel=1e-3)


def test_schedule_in_closed_form() -> None:
    rates = [learning_rate(step, 100, 1.0, 0.05) for step in range(100)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[5] == pytest.approx(1.0)
    assert rates[52] == pytest.approx(0.5, abs=0.01)
    assert 0.0 < rates[99] < 0.001
    assert all(a >= b for a, b in pairwise(rates[5:]))


def test_schedule_without_warmup_begins_at_the_peak() -> None:
    assert learning_rate(0, 10, 0.3, 0.0) == pytest.approx(0.3)


def test_schedule_of_one_step_is_not_zero() -> None:
    assert learning_rate(0, 1, 0.3, 0.05) == pytest.approx(0.3)
