"""The ledger: entries are written once, and a run's state follows from them at any point."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rlaifv.adapters.runs.ledger import Ledger
from rlaifv.adapters.runs.records import (
    Entry,
    PairOrigin,
    Progress,
    RunPhase,
    Span,
    entry_from_dict,
    entry_to_dict,
    replay,
)
from rlaifv.adapters.runs.summary import stage_seconds
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.errors import AlreadyExists, Conflict, DataLoss, NotFound
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

START = Checkpoint(uri="start", digest="a")
BETTER = Checkpoint(uri="better", digest="b")
EVENTS: list[tuple[str, Event]] = [
    ("shard:1", ShardDone(1)),
    ("shard:0", ShardDone(0)),
    ("pairs", PairsBuilt(5, 2)),
    ("trained", Trained(BETTER)),
    (
        "validated",
        Validated(
            Validation(mean_score=-2.0, mean_words=9.0, answers=3),
            Validation(mean_score=-1.0, mean_words=9.0, answers=3),
            PromotionRule(),
        ),
    ),
    ("evaluated", Evaluated()),
]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(f"sqlite:///{tmp_path / 'deep' / 'ledger.sqlite'}")
    ledger.create_run("r", "yaml", "digest")
    yield ledger
    ledger.close()


def states() -> list[IterationState]:
    """The state before and after each event."""
    found = [IterationState(index=1, start=START, shards=2)]
    for _, event in EVENTS:
        found.append(next_state(found[-1], event))
    return found


@pytest.mark.parametrize("point", range(len(EVENTS) + 1))
def test_the_state_follows_from_the_ledger_at_any_point(ledger: Ledger, point: int) -> None:
    for key, event in EVENTS[:point]:
        ledger.record("r", Entry(iteration=1, key=key, event=event))
    ledger.record("r", Entry(iteration=1, key="job", details={"id": "no event"}))
    ledger.record("r", Entry(iteration=2, key="shard:0", event=ShardDone(0)))
    assert replay(START, 1, 2, ledger.entries("r")) == states()[point]
    # From there the rest leads to the same end.
    state = replay(START, 1, 2, ledger.entries("r"))
    for _, event in EVENTS[point:]:
        state = next_state(state, event)
    assert (state.stage, state.result, state) == (Stage.DONE, BETTER, states()[-1])


@pytest.mark.parametrize(("key", "event"), EVENTS)
def test_entries_survive_json(key: str, event: Event) -> None:
    entry = Entry(iteration=3, key=key, event=event, details={"n": 1.5, "names": ["a"]})
    assert entry_from_dict(entry_to_dict(entry)) == entry


def test_damaged_events_are_told() -> None:
    with pytest.raises(DataLoss, match="Exploded"):
        entry_from_dict({"iteration": 1, "key": "k", "event": {"event": "Exploded"}, "details": {}})


def test_the_first_entry_under_a_key_stays(ledger: Ledger) -> None:
    first = ledger.record("r", Entry(iteration=1, key="pairs", event=PairsBuilt(5), details={"sha256": "x"}))
    again = ledger.record("r", Entry(iteration=1, key="pairs", event=PairsBuilt(6), details={"sha256": "y"}))
    assert again == first == ledger.find("r", 1, "pairs")
    assert len(ledger.entries("r")) == 1


def test_a_name_is_taken_once(ledger: Ledger) -> None:
    with pytest.raises(AlreadyExists, match="'r'"):
        ledger.create_run("r", "other", "other")
    with pytest.raises(NotFound, match="'q'"):
        ledger.run("q")


def test_phases_move_only_for_the_present_attempt(ledger: Ledger) -> None:
    assert ledger.set_phase("r", 1, RunPhase.RUNNING)
    with pytest.raises(Conflict, match="at work already"):
        ledger.begin_attempt("r", "yaml")
    assert ledger.set_phase("r", 1, RunPhase.FAILED, "why")
    assert not ledger.set_phase("r", 1, RunPhase.DONE), "a run that is over stays over"
    record = ledger.run("r")
    assert (record.phase, record.message) == (RunPhase.FAILED, "why")
    assert record.ended_at is not None
    assert ledger.begin_attempt("r", "yaml2") == 2
    assert not ledger.set_phase("r", 1, RunPhase.FAILED, "late word of the first attempt")
    assert (ledger.run("r").phase, ledger.run("r").config_yaml) == (RunPhase.PENDING, "yaml2")
    with pytest.raises(NotFound):
        ledger.begin_attempt("q", "yaml")


def test_spans_and_pairs_are_replaced_and_kept(ledger: Ledger) -> None:
    span = Span(iteration=1, stage="score", shard=0, start_s=1.0, end_s=2.0)
    train = Span(iteration=1, stage="train", shard=None, start_s=0.5, end_s=3.0)
    ledger.add_spans("r", [span, train])
    later = Span(iteration=1, stage="score", shard=0, start_s=5.0, end_s=6.0)
    ledger.add_spans("r", [later])
    assert ledger.spans("r") == [train, later]
    origin = PairOrigin(pair_id="p", iteration=1, prompt_id="a", shard=0, chosen_id="c", rejected_id="d")
    ledger.add_pairs("r", [origin])
    ledger.add_pairs("r", [origin])
    ledger.add_pairs("r", [])
    assert ledger.pair("r", "p") == origin


def test_progress_and_runs(ledger: Ledger) -> None:
    progress = Progress(iteration=2, stage="training", done=3, total=9, figures={"loss": 0.5})
    ledger.set_progress("r", progress)
    ledger.create_run("newer", "yaml", "digest")
    assert [record.name for record in ledger.runs()] == ["newer", "r"]
    assert ledger.run("r").progress == progress


def test_overlapping_times_count_once() -> None:
    spans = [
        Span(iteration=1, stage="score", shard=shard, start_s=start, end_s=end)
        for shard, (start, end) in enumerate([(0.0, 2.0), (1.0, 3.0), (5.0, 6.0), (5.2, 5.4)])
    ]
    assert stage_seconds(spans) == {"score": 4.0}
