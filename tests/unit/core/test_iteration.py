"""The loop's state machine: every legal path, every illegal event, replay from any point."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.errors import Conflict, InvalidInput
from rlaifv.core.iteration import (
    Evaluated,
    Event,
    IterationState,
    PairsBuilt,
    PromotionRule,
    ShardDone,
    Stage,
    Trained,
    Validated,
    Validation,
    next_state,
)

START = Checkpoint(uri="start", digest="0" * 64)
TRAINED = Checkpoint(uri="trained", digest="1" * 64)
BEFORE = Validation(mean_score=-1.0, mean_words=20.0, answers=50)
BETTER = Validation(mean_score=-0.5, mean_words=20.0, answers=50)
RULE = PromotionRule()


def fresh(shards: int = 2) -> IterationState:
    return IterationState(index=1, start=START, shards=shards)


def run(state: IterationState, *events: Event) -> IterationState:
    for event in events:
        state = next_state(state, event)
    return state


FULL: tuple[Event, ...] = (
    ShardDone(1),
    ShardDone(0),
    PairsBuilt(10),
    Trained(TRAINED),
    Validated(BEFORE, BETTER, RULE),
    Evaluated(),
)


def test_a_whole_iteration_promotes() -> None:
    state = run(fresh(), *FULL)
    assert (state.stage, state.promoted, state.pairs, state.result) == (Stage.DONE, True, 10, TRAINED)


def test_a_worse_checkpoint_is_not_the_next_policy() -> None:
    worse = Validation(mean_score=-1.0, mean_words=20.0, answers=50)
    state = run(fresh(), *FULL[:4], Validated(BEFORE, worse, RULE), Evaluated())
    assert (state.promoted, state.result) == (False, START)


def test_too_few_pairs_skip_training() -> None:
    state = run(fresh(1), ShardDone(0), PairsBuilt(3, min_pairs=4))
    assert state.stage is Stage.EVALUATING
    assert run(state, Evaluated()).result == START
    assert run(fresh(1), ShardDone(0), PairsBuilt(0)).stage is Stage.EVALUATING


@pytest.mark.parametrize(
    ("after", "promoted"),
    [
        (Validation(mean_score=-0.99, mean_words=20, answers=9), True),
        (Validation(mean_score=-0.5, mean_words=17.9, answers=9), False),
        (Validation(mean_score=-0.5, mean_words=18.0, answers=9), True),
        (Validation(mean_score=-1.0, mean_words=30, answers=9), False),
        (Validation(mean_score=0.0, mean_words=20, answers=0), False),
    ],
)
def test_promotion_wants_a_better_score_and_no_shorter_answers(after: Validation, promoted: bool) -> None:
    assert RULE.promotes(BEFORE, after) is promoted


def test_a_margin_can_be_asked_for() -> None:
    assert not PromotionRule(min_improvement=0.5).promotes(BEFORE, BETTER)
    with pytest.raises(InvalidInput, match=r"promotion\.min_words_ratio = 1\.5"):
        PromotionRule(min_words_ratio=1.5)


def test_a_repeated_shard_is_the_same_event() -> None:
    once = run(fresh(), ShardDone(1))
    assert run(once, ShardDone(1)) == once
    with pytest.raises(InvalidInput, match="shard = 2"):
        run(fresh(), ShardDone(2))


def test_events_out_of_place_are_conflicts() -> None:
    sample = (ShardDone(0), PairsBuilt(1), Trained(TRAINED), Validated(BEFORE, BETTER, RULE), Evaluated())
    legal = {Stage.COLLECTING: 0, Stage.PAIRING: 1, Stage.TRAINING: 2, Stage.VALIDATING: 3, Stage.EVALUATING: 4}
    for length in range(len(FULL) + 1):
        state = run(fresh(), *FULL[:length])
        for number, event in enumerate(sample):
            if legal.get(state.stage) != number:
                with pytest.raises(Conflict, match=type(event).__name__):
                    next_state(state, event)


@given(st.permutations(range(5)), st.integers(0, 5))
def test_replay_from_any_point_ends_the_same(order: list[int], split: int) -> None:
    events = [ShardDone(shard) for shard in order]
    before_crash = run(fresh(5), *events[:split])
    replayed = run(before_crash, *itertools.chain(events[:split], events[split:])) if split < 5 else before_crash
    assert replayed == run(fresh(5), *(ShardDone(shard) for shard in range(5)))
