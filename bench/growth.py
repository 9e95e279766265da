"""Time, memory and rows of a whole iteration at 1, 10 and 100 times the prompts: `python -m bench.growth`.

The orchestrator is the real one (DBOS, ledger, Parquet shards, pairing, summary, somebody watching); policy, decomposer, labeler
and trainer are scripted, in its process, and their processor time is taken off. Every size runs in a process of its own. Time a
prompt is (run - run of one shard) / (prompts - prompts of one shard), so that what a run costs whatever its size is not in it.
Growth is stated in CPU time of the orchestrator's process, which other work on the machine disturbs less than wall clock.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.growth_run import Measured
from bench.growth_world import Size
from bench.machine import in_fresh_process
from bench.postgres import INSTALL, binaries, throw_away_postgres
from bench.results import Comparison, add_arguments, conclude

CANDIDATE_LIMIT_MS = 2.0
CLAIM_LIMIT_MS = 0.2
_FACTORS = (1, 10, 100)
_CLAIMS = (1, 9, 25)
"""Claims an answer, for what one more of them costs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marginal:
    """What one more prompt costs, between a run of one shard and the run measured. Times in ms, memory in MiB in all."""

    wall_ms: float
    cpu_ms: float
    overhead_ms: float
    cpu_overhead_ms: float
    statements: float
    rows: float
    database_bytes: float
    shard_bytes: float
    pair_bytes: float
    peak_mib: float


def marginal(one: Measured) -> Marginal:
    """`overhead_ms` and `cpu_overhead_ms` are wall clock and CPU time without that of the scripted services."""
    fixed, more = one.fixed, one.prompts - one.fixed["prompts"]
    wall, own = one.wall_s - fixed["wall_s"], one.own_s - fixed["own_s"]
    return Marginal(
        wall_ms=1000 * wall / more,
        cpu_ms=1000 * (one.cpu_s - fixed["cpu_s"]) / more,
        overhead_ms=1000 * (wall - own) / more,
        cpu_overhead_ms=1000 * (one.cpu_s - fixed["cpu_s"] - own) / more,
        statements=(one.statements - fixed["statements"]) / more,
        rows=(sum(one.rows.values()) - fixed["rows"]) / more,
        database_bytes=(one.bytes["database"] - fixed["database"]) / more,
        shard_bytes=one.bytes["shards"] / one.prompts,
        pair_bytes=one.bytes["pairs"] / one.prompts,
        peak_mib=one.peak_mib,
    )


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Of the straight line through the points with the least squares."""
    return statistics.linear_regression(*zip(*points, strict=True)).slope


def middle(found: Sequence[Measured]) -> Measured:
    """The run with the median CPU time a prompt; the lower of two."""
    return sorted(found, key=lambda one: marginal(one).cpu_ms)[(len(found) - 1) // 2]


@contextmanager
def database(name: str) -> Iterator[str]:
    """The URL to give to `Size`."""
    programs = binaries()
    assert name == "SQLite" or programs is not None, "asked for before"
    with throw_away_postgres(programs) if name != "SQLite" and programs else nullcontext("") as url:
        yield url


def run(size: Size, repetitions: int = 1) -> list[Measured]:
    """In a process of its own."""
    printed = in_fresh_process("bench.growth_run", [json.dumps(asdict(size)), str(repetitions)])
    return [Measured(**one) for one in printed]


def measure(size: Size, factors: Sequence[int], rounds: int) -> dict[int, list[Measured]]:
    """The runs of every factor. The largest runs once; the smallest, which is over before a processor that somebody else has
    for a moment is back, comes `rounds` times between all others."""
    ordered = sorted(factors)
    found: dict[int, list[Measured]] = {factor: [] for factor in ordered}
    others = [*ordered[1:], *ordered[-2:0:-1]]
    turns = len(others) + 1
    for turn in range(turns):
        repetitions = rounds // turns + (turn < rounds % turns)
        if repetitions:
            found[ordered[0]] += run(replace(size, prompts=ordered[0] * size.prompts), repetitions)
        for factor in others[turn : turn + 1]:
            found[factor] += run(replace(size, prompts=factor * size.prompts))
    return found


def claim_cost(size: Size) -> float:
    """CPU ms of overhead that one more claim costs."""
    points = []
    for claims in _CLAIMS:
        (one,) = run(replace(size, claims=claims))
        points.append((float(claims * size.candidates), marginal(one).cpu_overhead_ms))
    return slope(points)


def compare(name: str, size: Size, arguments: argparse.Namespace) -> list[Comparison]:
    """All records of one database."""
    with database(name) as url:
        size = replace(size, database=url)
        runs = measure(size, arguments.factors, arguments.rounds)
        claim_ms = claim_cost(replace(size, prompts=5 * size.prompts))
    show(name, {factor: middle(several) for factor, several in runs.items()}, size.candidates)
    large = marginal(middle(runs[max(runs)]))
    equal = not any(one.wrong for several in runs.values() for one in several)
    blank = _record(arguments.threads, arguments.seed, equal)
    candidate = within(
        blank, f"orchestrator, a candidate with {size.claims} claims, {name}", CANDIDATE_LIMIT_MS,
        large.overhead_ms / size.candidates, {"cpu_ms": large.cpu_overhead_ms / size.candidates},
    )  # fmt: skip
    claim = within(blank, f"orchestrator, one more claim, {name}", CLAIM_LIMIT_MS, claim_ms, {"claims": list(_CLAIMS)})
    return [growth(blank, name, runs), candidate, claim]


def growth(blank: Comparison, name: str, runs: dict[int, list[Measured]]) -> Comparison:
    """The record of time a prompt at the most against the least prompts."""
    found = {factor: middle(several) for factor, several in runs.items()}
    each = {factor: marginal(one) for factor, one in found.items()}
    least, most = min(found), max(found)
    ratios = [marginal(one).cpu_ms / each[most].cpu_ms for one in runs[least]]
    sizes = {f"{factor}x": asdict(each[factor]) | {"prompts": one.prompts} for factor, one in found.items()}
    spread = {"low": min(ratios), "high": max(ratios), "wall_ratio": each[least].wall_ms / each[most].wall_ms}
    return replace(
        blank,
        name=f"growth, {most // least}x the prompts, {name}",
        baseline=f"{found[least].prompts:,} prompts",
        baseline_value=each[least].cpu_ms,
        ours_value=each[most].cpu_ms,
        unit="CPU ms a prompt",
        ratio=each[least].cpu_ms / each[most].cpu_ms,
        peak_mib_baseline=found[least].peak_mib,
        peak_mib_ours=found[most].peak_mib,
        details=sizes | spread | {"rows": found[most].rows},
    )


def within(blank: Comparison, name: str, limit_ms: float, value_ms: float, details: dict[str, Any]) -> Comparison:
    """The record of something that must not take longer than a limit."""
    return replace(
        blank,
        name=name,
        baseline=f"the limit of {limit_ms:g} ms",
        baseline_value=limit_ms,
        ours_value=value_ms,
        unit="ms",
        ratio=limit_ms / value_ms,
        details=details,
    )


def _record(threads: int, seed: int, equal: bool) -> Comparison:
    return Comparison(
        name="",
        baseline="",
        baseline_value=0.0,
        ours_value=0.0,
        unit="",
        ratio=0.0,
        equal=equal,
        max_abs_diff=0.0,
        dtype="-",
        threads=threads,
        seed=seed,
    )


def show(name: str, found: dict[int, Measured], candidates: int) -> None:
    """All that was measured, one row a size; and what is wrong."""
    console = Console() if sys.stdout.isatty() else Console(width=140)
    table = Table(title=f"{name}: one iteration")
    columns = ("prompts", "wall s", "CPU s", "ms a prompt", "CPU ms", "overhead ms a candidate", "peak MiB")
    for column in (*columns, "statements", "rows", "DB kB", "Parquet kB"):
        table.add_column(column, justify="right")
    for one in found.values():
        each = marginal(one)
        figures = (one.wall_s, one.cpu_s, each.wall_ms, each.cpu_ms)
        table.add_row(
            f"{one.prompts:,}",
            *(f"{figure:.2f}" for figure in figures),
            f"{each.overhead_ms / candidates:.3f}",
            f"{one.peak_mib:.0f}",
            f"{each.statements:.2f}",
            f"{each.rows:.2f}",
            f"{each.database_bytes / 1000:.2f}",
            f"{(each.shard_bytes + each.pair_bytes) / 1000:.1f}",
        )
    console.print(table)
    for one in found.values():
        for what in one.wrong[:5]:
            console.print(f"[red]{one.prompts} prompts: {what}[/red]")


def main() -> int:
    """Measure and print; 1 if a run's result is not as the script has it."""
    parser = argparse.ArgumentParser(description="Time and memory of the orchestrator as the prompts grow.")
    add_arguments(parser, rounds=8)
    parser.add_argument("--base", type=int, default=100, help="prompts at 1x")
    parser.add_argument("--factors", type=int, nargs="+", default=_FACTORS, help="how many times the prompts")
    parser.add_argument("--candidates", type=int, default=10, help="answers a prompt")
    parser.add_argument("--claims", type=int, default=9, help="claims an answer")
    parser.add_argument("--shard-prompts", type=int, default=8, help="prompts of a shard")
    parser.add_argument("--shards-in-flight", type=int, default=2, help="shards at work at once")
    parser.add_argument("--image-bytes", type=int, default=16_384, help="of every picture")
    parser.add_argument("--databases", nargs="+", default=["SQLite", "Postgres"], choices=["SQLite", "Postgres"])
    arguments = parser.parse_args()
    size = Size(
        prompts=arguments.base,
        candidates=arguments.candidates,
        claims=arguments.claims,
        shard_prompts=arguments.shard_prompts,
        shards_in_flight=arguments.shards_in_flight,
        image_bytes=arguments.image_bytes,
        seed=arguments.seed,
    )
    found: list[Comparison] = []
    for name in arguments.databases:
        if name == "Postgres" and binaries() is None:
            sys.stdout.write(f"Postgres is not installed and NOT measured: {INSTALL}\n")
        else:
            found += compare(name, size, arguments)
    return conclude(found, arguments.results)


if __name__ == "__main__":
    sys.exit(main())
