"""A whole iteration by the orchestrator, whose stages overlap, against the same stages one after the other with files between.

    python -m bench.loop                     accelerators that wait instead of working, one a stage, in published proportions
    python -m bench.loop --quick             one small case
    python -m bench.loop --iterations 3 --staleness 1       each iteration collected while the one before trains

Both sides ask the same backends for the same things; the pair files must be equal to the byte. What overlap can give is bounded
by the proportions: with a device for each stage, the sum of the stages over the slowest one (training comes after collecting).
Times run from the first request to a backend; what lies before (`start_s_ours`) is paid once a run, not in each iteration.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import statistics
import sys
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog

from bench.loop_devices import START, Devices, Hours
from bench.loop_real import connected, demo_run, demo_services, show_staleness
from bench.loop_sides import Turn, run_file, staged, streamed, write_prompts
from bench.results import Comparison, add_arguments, conclude
from bench.timing import speedup
from rlaifv.adapters.runs.run_file import RunFile

PROPORTIONS = {
    "plain Hugging Face": Hours(generate=10.27, decompose=8.91 + 7.95, score=23.43, train=50.56 / 8),
    "vLLM": Hours(generate=1.36, decompose=3.57 + 3.17, score=7.42, train=50.56 / 8),
}
"""Hours on 8 A100 for 20,000 pairs (arXiv 2411.17265), decomposing with the conversion to questions; training as in RLAIF-V's 7B
model: 6 hours for 48 of collecting."""

Way = Callable[[RunFile, Path], Coroutine[Any, Any, Turn]]


def scripted_cases(arguments: argparse.Namespace, folder: Path) -> list[Comparison]:
    """One comparison for each published proportion of the stages."""
    prompts, iterations = arguments.prompts, arguments.iterations
    write_prompts(folder, prompts * iterations, arguments.validation, arguments.seed)
    run = run_file(
        folder,
        name="bench",
        seed=arguments.seed,
        policy=START,
        iterations=iterations,
        prompts_per_iteration=prompts,
        candidates=arguments.candidates,
        shards_in_flight=arguments.in_flight,
        max_staleness=arguments.staleness,
    )
    chosen = dict(list(PROPORTIONS.items())[:1]) if arguments.quick else PROPORTIONS
    return [_scripted(arguments, run, folder, name, hours) for name, hours in chosen.items()]


def _scripted(arguments: argparse.Namespace, run: RunFile, folder: Path, name: str, hours: Hours) -> Comparison:
    def on_devices(way: Callable[..., Awaitable[Turn]]) -> Way:
        async def turn(run: RunFile, folder: Path) -> Turn:
            devices = Devices.at_pace(
                hours, arguments.seconds, run.prompts_per_iteration, run.candidates, arguments.slots
            )
            return await way(run, devices.ports(), folder)

        return turn

    ideal = hours.in_sequence / hours.ideal(ahead=arguments.staleness > 0 and run.iterations > 1)
    return compare(
        f"iteration, scripted devices as {name}" + (", staleness 1" if arguments.staleness else ""),
        {"baseline": on_devices(staged), "ours": on_devices(streamed)},
        run,
        folder,
        arguments,
        {"ratio_at_best": ideal, "slots": arguments.slots, "prompts": run.prompts_per_iteration},
    )


def _real(arguments: argparse.Namespace, folder: Path) -> Comparison:
    """The demo's models, one iteration a turn."""

    def asked(way: Callable[..., Awaitable[Turn]]) -> Way:
        async def turn(run: RunFile, folder: Path) -> Turn:
            # New ones each turn: a trainer remembers its jobs, a labeler its pictures.
            with demo_services(folder.parent) as services:
                named = run.model_copy(update={"services": type(run.services)(**services)})
                async with connected(named) as ports:
                    return await way(named, ports, folder)

        return turn

    run = demo_run(folder, {}, arguments.seed, iterations=1, prompts_per_iteration=arguments.real_prompts)
    ways = {"baseline": asked(staged), "ours": asked(streamed)}
    details = {"ratio_at_best": 2.0, "prompts": run.prompts_per_iteration}
    return compare("iteration, the demo's models on 2 cores", ways, run, folder, arguments, details)


def compare(
    name: str,
    ways: Mapping[str, Way],
    run: RunFile,
    folder: Path,
    arguments: argparse.Namespace,
    details: Mapping[str, Any],
) -> Comparison:
    """Both ways, turn by turn after a warm-up turn each."""
    turns: dict[str, list[Turn]] = {side: [] for side in ways}
    for turn in range(arguments.rounds + 1):
        for side in ways if turn % 2 else reversed(list(ways)):
            turns[side].append(asyncio.run(ways[side](run, folder / side)))
    timed = {side: [turn.seconds / run.iterations for turn in found[1:]] for side, found in turns.items()}
    ratio = speedup(timed["baseline"], timed["ours"])
    files = {turn.pairs for found in turns.values() for turn in found}
    last = {side: found[-1] for side, found in turns.items()}
    for side, shown in last.items():
        sys.stdout.write(f"{name}, {side}: {_use(shown)}\n")
    return Comparison(
        name=name,
        baseline="stage after stage",
        baseline_value=statistics.median(timed["baseline"]),
        ours_value=statistics.median(timed["ours"]),
        unit="s an iteration",
        ratio=ratio.median,
        equal=len(files) == 1,
        max_abs_diff=0.0 if len(files) == 1 else float("inf"),
        dtype="-",
        threads=arguments.threads,
        seed=arguments.seed,
        details={
            "low": ratio.low,
            "high": ratio.high,
            "pairs": list(last["ours"].rows),
            "start_s_ours": last["ours"].start_s,
            "use_baseline": _shares(last["baseline"]),
            "use_ours": _shares(last["ours"]),
            **details,
        },
    )


def _shares(turn: Turn) -> dict[str, Any]:
    return {
        stage: {name: value / turn.seconds for name, value in asdict(use).items() if name.endswith("_s")}
        for stage, use in turn.use.items()
    }


def _use(turn: Turn) -> str:
    shares = _shares(turn)
    told = [
        f"{stage} {100 * share['busy_s']:.0f} % busy, {100 * share['idle_with_work_s']:.0f} % idle with work waiting"
        for stage, share in shares.items()
    ]
    return f"{turn.seconds:.2f} s; " + "; ".join(told)


def main() -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description="The loop, streamed, against its stages one after the other.")
    add_arguments(parser, rounds=3)
    parser.add_argument("--quick", action="store_true", help="one small case")
    parser.add_argument("--real", action="store_true", help="the demo's models in service processes, too")
    parser.add_argument("--real-prompts", type=int, default=64, help="training prompts of their iteration")
    parser.add_argument("--effect", action="store_true", help="what staleness does to the demo in small, too (minutes)")
    parser.add_argument("--prompts", type=int, default=128, help="training prompts of an iteration")
    parser.add_argument("--validation", type=int, default=16, help="validation prompts")
    parser.add_argument("--candidates", type=int, default=10, help="answers to each training prompt")
    parser.add_argument("--iterations", type=int, default=1, help="iterations of a turn")
    parser.add_argument("--seconds", type=float, default=16.0, help="of an iteration on scripted devices, in sequence")
    parser.add_argument("--slots", type=int, default=32, help="units that a scripted device works on at once")
    parser.add_argument("--staleness", type=int, default=0, help="max_staleness of the run")
    parser.add_argument("--in-flight", type=int, default=2, help="shards_in_flight of the run")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.prompts, arguments.seconds = min(arguments.prompts, 64), min(arguments.seconds, 8.0)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory() as folder:
        found = scripted_cases(arguments, Path(folder))
    if arguments.real:
        with tempfile.TemporaryDirectory() as folder:
            found.append(_real(arguments, Path(folder)))
    if arguments.effect:
        with tempfile.TemporaryDirectory() as folder:
            show_staleness(Path(folder), arguments.seed)
    return conclude(found, arguments.results)


if __name__ == "__main__":
    sys.exit(main())
