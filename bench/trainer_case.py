"""One job of bench.trainer: all sides trained on it turn by turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version

from torch import Tensor

from bench.timing import Timed, cpu_seconds, interleave
from bench.trainer_job import Job, Side, Step
from bench.trainer_ours import OurTrainer
from bench.trainer_plain import PlainLoop

OURS = "ours"


@dataclass(slots=True, kw_only=True)
class Trained:
    """A side after its steps. Seconds are those of each step with its share of what is done once a job."""

    start_s: float
    steps: list[Step]
    wall_s: list[float]
    cpu_s: list[float]
    weights: dict[str, Tensor]
    collating_s: float = 0.0


def _trl(job: Job, checkpointing: bool = False) -> Side:
    from bench.trainer_trl import TrlTrainer

    return TrlTrainer(job, checkpointing)


SIDES: Mapping[str, Callable[[Job], Side]] = {
    "trl": _trl,
    "trl-checkpointing": lambda job: _trl(job, checkpointing=True),
    "plain": PlainLoop,
    "stored": lambda job: PlainLoop(job, stored=True),
    OURS: OurTrainer,
}
"""By the name that --against takes."""


def title(side: str) -> str:
    """A side's name for people."""
    if side.startswith("trl"):
        return f"TRL {version('trl')} DPOTrainer" + (", checkpointing" if side.endswith("checkpointing") else "")
    return {"plain": "plain loop", "stored": "plain loop, stored reference"}[side]


def trained(job: Job, warm_up: Job, sides: list[str], rounds: int) -> dict[str, Trained]:
    """Train all sides turn by turn, `rounds` steps of each; throw-away sides make one of `warm_up` before."""
    for name in sides:
        warm = SIDES[name](warm_up)
        warm.start()
        warm.step()
    made = {name: SIDES[name](job) for name in sides}
    starts = {name: _timed_start(side) for name, side in made.items()}
    steps: dict[str, list[Step]] = {name: [] for name in sides}

    def turn(name: str) -> Callable[[], None]:
        return lambda: steps[name].append(made[name].step())

    timed = interleave({name: turn(name) for name in sides}, rounds=rounds, warm_up=0)
    return {
        name: _trained(side, steps[name], timed[name], starts[name], len(job.batches)) for name, side in made.items()
    }


def _timed_start(side: Side) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), cpu_seconds()
    side.start()
    return time.perf_counter() - wall, cpu_seconds() - cpu


def _trained(side: Side, steps: list[Step], timed: Timed[None], start: tuple[float, float], planned: int) -> Trained:
    return Trained(
        start_s=start[0],
        steps=steps,
        wall_s=[seconds + start[0] / planned for seconds in timed.wall_s],
        cpu_s=[seconds + start[1] / planned for seconds in timed.cpu_s],
        weights=side.weights(),
        collating_s=getattr(side, "collating_s", 0.0),
    )
