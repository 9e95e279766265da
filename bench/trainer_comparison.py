"""What the sides of bench.trainer found, held against each other: losses, gradient norms, weights, speed, FLOP needed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.machine import matrix_rate
from bench.results import Comparison
from bench.timing import speedup
from bench.trainer_case import OURS, Trained, title
from bench.trainer_flop import costs, once, shared
from bench.trainer_job import Job
from bench.trainer_ours import OurTrainer
from bench.trainer_plain import start_model
from bench.trainer_texts import encoded_pairs

LIMITS = {"fp32": {"loss": 1e-4, "grad_norm": 1e-4}, "bf16": {"loss": 0.05, "grad_norm": 0.1}}
"""Largest differences of a step's loss, and of its gradient norm relative to the norm (or to 1 where that is larger).

bf16 keeps 8 bits of every activation, and a pair's margin sums more than a hundred log-probabilities: two baselines that compute
the same in another order come apart over 20 steps by 0.01 in loss and 3 % in norm. So in bf16 `details` also says how far each
side is from the same job in fp32, where that was run before: the better side is the one that is nearer.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Yardstick:
    """What all comparisons of a job are held against: same token sequences, start weights, FLOP needed, FLOP/s of the machine."""

    same_tokens: bool
    start: dict[str, Tensor]
    flop: float
    rate: float


def yardstick(job: Job, steps: int) -> Yardstick:
    """For the first `steps` of a job."""
    return Yardstick(
        same_tokens=same_tokens(job),
        start={name: weight.detach() for name, weight in start_model(job).named_parameters()},
        flop=needed_flop(job, steps),
        rate=matrix_rate(torch.bfloat16 if job.bf16 else torch.float32),
    )


def compare(
    job: Job,
    found: Mapping[str, Trained],
    side: str,
    held: Yardstick,
    *,
    name: str,
    peaks: Mapping[str, float],
    exact: Mapping[str, Trained] | None = None,
) -> Comparison:
    """Ours against another side. `exact`: the sides' runs of the same job in fp32."""
    ours, other, dtype = found[OURS], found[side], str(job.hyperparameters.precision)
    pairs = sum(len(batch) for batch in job.batches[: len(ours.steps)])
    apart, limits = differences(other, ours), LIMITS[dtype]
    return Comparison(
        name=name,
        baseline=title(side),
        baseline_value=pairs / sum(other.wall_s),
        ours_value=pairs / sum(ours.wall_s),
        unit="pairs/s",
        ratio=speedup(other.wall_s, ours.wall_s).median,
        equal=held.same_tokens and all(apart[what] <= limit for what, limit in limits.items()),
        max_abs_diff=max(apart.values()),
        peak_mib_baseline=peaks.get(side),
        peak_mib_ours=peaks.get(OURS),
        dtype=dtype,
        threads=torch.get_num_threads(),
        seed=job.hyperparameters.seed,
        details={
            "steps": len(ours.steps),
            "same_tokens": held.same_tokens,
            **{f"{what}_diff": value for what, value in apart.items()},
            **{f"{what}_limit": value for what, value in limits.items()},
            **_from_exact(side, found, exact),
            **_between(found, side),
            **weights_apart(other, ours, held.start),
            **_speed(other, ours, held),
            **{f"peak_mib_{name}": mib for name, mib in peaks.items() if name.startswith(f"{side}-")},
        },
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


def _speed(other: Trained, ours: Trained, held: Yardstick) -> dict[str, float]:
    wall, cpu = speedup(other.wall_s, ours.wall_s), speedup(other.cpu_s, ours.cpu_s)
    theirs_s, ours_s = sum(other.wall_s), sum(ours.wall_s)
    return {
        "ratio_low": wall.low,
        "ratio_high": wall.high,
        "total_ratio": theirs_s / ours_s,
        "cpu_ratio": cpu.median,
        "once_s_baseline": other.start_s,
        "once_s_ours": ours.start_s,
        "collating_share_baseline": other.collating_s / theirs_s,
        "gflop_needed": held.flop / 1e9,
        "gflop_per_s_baseline": held.flop / theirs_s / 1e9,
        "gflop_per_s_ours": held.flop / ours_s / 1e9,
        "matrix_rate_gflop_per_s": held.rate / 1e9,
        "share_of_matrix_rate_baseline": held.flop / theirs_s / held.rate,
        "share_of_matrix_rate_ours": held.flop / ours_s / held.rate,
    }


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
