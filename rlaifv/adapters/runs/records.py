"""What the ledger keeps of a run, and the events of the iteration as plain JSON types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.errors import DataLoss
from rlaifv.core.iteration import (
    Evaluated,
    Event,
    IterationState,
    PairsBuilt,
    PromotionRule,
    ShardDone,
    Trained,
    Validated,
    Validation,
    next_state,
)


class RunPhase(StrEnum):
    """Where a run is, whatever its iteration does."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def active(self) -> bool:
        """Whether a worker should be at it."""
        return self in (RunPhase.PENDING, RunPhase.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What a run does now; `figures` are the trainer's newest, {} outside of training."""

    iteration: int = 0
    stage: str = ""
    done: int = 0
    total: int = 0
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A run as the ledger knows it. `attempt` counts starts and resumptions; times are seconds since the epoch."""

    name: str
    config_yaml: str
    digest: str
    phase: RunPhase
    message: str
    attempt: int
    began_at: float
    ended_at: float | None
    progress: Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that happened in an iteration, once. `key` names it ("shard:3", "pairs", "trained" …).

    `event` is what it means to the state machine, if anything; `details` are figures and addresses, plain JSON types.
    """

    iteration: int
    key: str
    event: Event | None = None
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """When a stage was at work: seconds since the run began. `shard` is None where the stage has no shards."""

    iteration: int
    stage: str
    shard: int | None
    start_s: float
    end_s: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairOrigin:
    """Where a pair came from: the shard file that holds both candidates with all that was made of them."""

    pair_id: str
    iteration: int
    prompt_id: str
    shard: int
    chosen_id: str
    rejected_id: str


def replay(start: Checkpoint, iteration: int, shards: int, entries: Iterable[Entry]) -> IterationState:
    """The state of an iteration after its entries, in the order in which they were written."""
    state = IterationState(index=iteration, start=start, shards=shards)
    for entry in entries:
        if entry.iteration == iteration and entry.event is not None:
            state = next_state(state, entry.event)
    return state


_EVENTS: dict[str, type[Any]] = {kind.__name__: kind for kind in (ShardDone, PairsBuilt, Trained, Validated, Evaluated)}
_NESTED: dict[str, type[Any]] = {
    "checkpoint": Checkpoint,
    "before": Validation,
    "after": Validation,
    "rule": PromotionRule,
}


def event_to_dict(event: Event) -> dict[str, Any]:
    """Plain JSON types; `event_from_dict` is the inverse."""
    return {"event": type(event).__name__, **asdict(event)}


def event_from_dict(data: Mapping[str, Any]) -> Event:
    """Raises DataLoss if it is no event."""
    try:
        fields = {
            key: _NESTED[key](**value) if key in _NESTED else value for key, value in data.items() if key != "event"
        }
        event: Event = _EVENTS[data["event"]](**fields)
    except (KeyError, TypeError) as exc:
        raise DataLoss(f"the ledger holds something that is no event: {data!r}") from exc
    return event


def entry_to_dict(entry: Entry) -> dict[str, Any]:
    """Plain JSON types; `entry_from_dict` is the inverse."""
    event = None if entry.event is None else event_to_dict(entry.event)
    return {"iteration": entry.iteration, "key": entry.key, "event": event, "details": entry.details}


def entry_from_dict(data: Mapping[str, Any]) -> Entry:
    """Raises DataLoss if its event is none."""
    event = None if data["event"] is None else event_from_dict(data["event"])
    return Entry(iteration=data["iteration"], key=data["key"], event=event, details=data["details"])
