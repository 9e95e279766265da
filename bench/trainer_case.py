"""One job of bench.trainer: all sides trained on it turn by turn, and what they found compared."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.machine import matrix_rate
from bench.results import Comparison
from bench.timing import Timed, cpu_seconds, interleave, speedup
from bench.trainer_flop import costs, once, shared
from bench.trainer_job import Job, Side, Step
from bench.trainer_ours import OurTrainer
from bench.trainer_plain import PlainLoop, start_model
from bench.trainer_texts import encoded_pairs

OURS = "ours"
LIMITS = {"fp32": {"loss": 1e-4, "grad_norm": 1e-4}, "bf16": {"loss": 0.05, "grad_norm": 0.1}}
"""Largest differences of a step's loss, and of its gradient norm relative to the norm (or to 1 where that is larger).

bf16 keeps 8 bits of every activation, and a pair's margin sums more than a hundred log-probabilities: two baselines that compute
the same in another order come apart over 20 steps by 0.01 in loss and 3 % in norm. So in bf16 `details` also says how far each
side is from the same job in fp32, where that was run before: the better side is the one that is nearer.
"""


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
        return f"TRL {version('trl')} DPOTrainer"
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


def differences(one: Trained, other: Trained) -> dict[str, float]:
    """Largest difference of losses, and of gradient norms relative to the norm."""
    steps = list(zip(one.steps, other.steps, strict=True))
    return {
        "loss": max(abs(a.loss - b.loss) for a, b in steps),
        "grad_norm": max(abs(a.grad_norm - b.grad_norm) / max(1.0, b.grad_norm) for a, b in steps),
    }


def loss_distance(one: Trained, other: Trained) -> float:
    """Root mean square of the differences of losses."""
    steps = zip(one.steps, other.steps, strict=True)
    return math.sqrt(sum((a.loss - b.loss) ** 2 for a, b in steps) / len(one.steps))


def weights_apart(one: Trained, other: Trained, start: Mapping[str, Tensor]) -> dict[str, float]:
    """Largest difference of a weight, and the distance of all by the distance that they moved."""
    gaps = [(other.weights[name] - weight).double() for name, weight in one.weights.items()]
    moved = [(weight - start[name]).double() for name, weight in one.weights.items()]
    apart, way = (sum(float(part.square().sum()) for part in parts) ** 0.5 for parts in (gaps, moved))
    return {"weights_max_diff": max(float(gap.abs().max()) for gap in gaps), "weights_apart_by_way": apart / way}


def needed_flop(job: Job, steps: int) -> float:
    """FLOP that `steps` of the job's steps need, with their share of the reference."""
    pairs = encoded_pairs(job.model, job.pairs)
    found = costs(start_model(job), pairs[0])
    training = sum(found.step(shared([pairs[n] for n in batch])) for batch in job.batches[:steps])
    return training + once(found, pairs) * steps / len(job.batches)


def same_tokens(job: Job) -> bool:
    """Whether the library makes the same token sequences as the model's own processor, which the baselines call."""
    theirs = [
        (tuple(p.prompt + p.chosen), tuple(p.prompt + p.rejected), len(p.prompt))
        for p in encoded_pairs(job.model, job.pairs)
    ]
    return OurTrainer(job).tokens == theirs


def comparisons(
    job: Job,
    found: Mapping[str, Trained],
    *,
    name: str,
    peaks: Mapping[str, float],
    seed: int,
    exact: Mapping[str, Trained] | None = None,
) -> list[Comparison]:
    """Ours against every other side. `exact`: the sides' runs of the same job in fp32."""
    ours, dtype = found[OURS], str(job.hyperparameters.precision)
    rounds, tokens = len(ours.steps), same_tokens(job)
    start = {n: p.detach().clone() for n, p in start_model(job).named_parameters()}
    flop = needed_flop(job, rounds)
    rate = matrix_rate(torch.bfloat16 if job.bf16 else torch.float32)
    pairs = sum(len(batch) for batch in job.batches[:rounds])
    made = []
    for side, other in found.items():
        if side == OURS:
            continue
        wall, cpu = speedup(other.wall_s, ours.wall_s), speedup(other.cpu_s, ours.cpu_s)
        apart = differences(other, ours)
        made.append(
            Comparison(
                name=name,
                baseline=title(side),
                baseline_value=pairs / sum(other.wall_s),
                ours_value=pairs / sum(ours.wall_s),
                unit="pairs/s",
                ratio=wall.median,
                equal=tokens and all(apart[what] <= limit for what, limit in LIMITS[dtype].items()),
                max_abs_diff=max(apart.values()),
                peak_mib_baseline=peaks.get(side),
                peak_mib_ours=peaks.get(OURS),
                dtype=dtype,
                threads=torch.get_num_threads(),
                seed=seed,
                details={
                    "steps": rounds,
                    "ratio_low": wall.low,
                    "ratio_high": wall.high,
                    "cpu_ratio": cpu.median,
                    "total_ratio": sum(other.wall_s) / sum(ours.wall_s),
                    "same_tokens": tokens,
                    "loss_diff": apart["loss"],
                    "loss_limit": LIMITS[dtype]["loss"],
                    "grad_norm_diff": apart["grad_norm"],
                    "grad_norm_limit": LIMITS[dtype]["grad_norm"],
                    **_from_exact(side, found, exact),
                    **_between(found, side),
                    **weights_apart(other, ours, start),
                    "once_s_ours": ours.start_s,
                    "once_s_baseline": other.start_s,
                    "collating_share_baseline": other.collating_s / sum(other.wall_s),
                    "gflop_needed": flop / 1e9,
                    "gflop_per_s_ours": flop / sum(ours.wall_s) / 1e9,
                    "gflop_per_s_baseline": flop / sum(other.wall_s) / 1e9,
                    "matrix_rate_gflop_per_s": rate / 1e9,
                    "share_of_matrix_rate_ours": flop / sum(ours.wall_s) / rate,
                    "share_of_matrix_rate_baseline": flop / sum(other.wall_s) / rate,
                    **{f"peak_mib_{name}": mib for name, mib in peaks.items() if name.startswith(f"{side}-")},
                },
            )
        )
    return made


def _from_exact(side: str, found: Mapping[str, Trained], exact: Mapping[str, Trained] | None) -> dict[str, float]:
    if exact is None:
        return {}
    return {
        "loss_rms_from_fp32_ours": loss_distance(found[OURS], exact[side]),
        "loss_rms_from_fp32_baseline": loss_distance(found[side], exact[side]),
    }


def _between(found: Mapping[str, Trained], side: str) -> dict[str, float]:
    """How far the baseline is from the other baselines: what rounding alone does."""
    others = [other for name, other in found.items() if name not in (side, OURS)]
    return {
        f"{what}_diff_between_baselines": max(differences(found[side], other)[what] for other in others)
        for what in ("loss", "grad_norm")
        if others
    }


def dump(folder: Path, job: Job, found: Mapping[str, Trained]) -> None:
    """Write steps.json: the pairs of every step, and losses, norms and seconds of every side."""
    record: dict[str, Any] = {
        "hyperparameters": asdict(job.hyperparameters),
        "limits": LIMITS[str(job.hyperparameters.precision)],
        "batches": job.batches,
        "sides": {
            name: {
                "loss": [step.loss for step in side.steps],
                "grad_norm": [step.grad_norm for step in side.steps],
                "wall_s": side.wall_s,
                "cpu_s": side.cpu_s,
                "once_s": side.start_s,
            }
            for name, side in found.items()
        },
    }
    (folder / "steps.json").write_text(json.dumps(record, indent=1))
