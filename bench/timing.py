"""Two or more ways of the same work, timed turn by turn: absolute rates on shared machines swing, ratios of neighbours hold.

Each side is a callable that does the whole work once and returns what it found. Turns alternate, and every other round goes
backwards, so that no side always comes first. A ratio is the median of the ratios of single rounds.
"""

from __future__ import annotations

import gc
import resource
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Found = TypeVar("Found")


@dataclass(slots=True, kw_only=True)
class Timed(Generic[Found]):
    """What a side found (in its warm-up turn, or its first), and its seconds in every round that counts.

    `cpu_s` is the CPU time of this process and of its children that have ended, or what `interleave` was told to read.
    """

    found: Found
    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    @property
    def median_s(self) -> float:
        return statistics.median(self.wall_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """How many times faster; median, least and greatest of the rounds."""

    median: float
    low: float
    high: float


def interleave(
    sides: Mapping[str, Callable[[], Found]],
    *,
    rounds: int = 5,
    warm_up: int = 1,
    cpu_clock: Callable[[], float] | None = None,
) -> dict[str, Timed[Found]]:
    """Run every side once a round. Results of warm-up turns are kept, their times are not.

    `cpu_clock` says how much CPU time was used so far where a side computes in a process that goes on; None: `cpu_seconds`.
    """
    cpu_used = cpu_clock or cpu_seconds
    names = list(sides)
    timed: dict[str, Timed[Found]] = {}
    for turn in range(-warm_up, rounds):
        for name in names if turn % 2 == 0 else reversed(names):
            gc.collect()
            wall, cpu = time.perf_counter(), cpu_used()
            found = sides[name]()
            wall, cpu = time.perf_counter() - wall, cpu_used() - cpu
            one = timed.setdefault(name, Timed(found=found))
            if turn >= 0:
                one.wall_s.append(wall)
                one.cpu_s.append(cpu)
    return timed


def speedup(baseline: Sequence[float], ours: Sequence[float]) -> Ratio:
    """Seconds of the baseline by seconds of ours, round by round."""
    ratios = [theirs / mine for theirs, mine in zip(baseline, ours, strict=True)]
    return Ratio(median=statistics.median(ratios), low=min(ratios), high=max(ratios))


def cpu_seconds() -> float:
    """CPU time of this process, all threads, and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
