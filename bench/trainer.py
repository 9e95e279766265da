"""DPO training, pairs a second: `python -m bench.trainer`. The library against TRL's DPOTrainer and against a plain loop.

All sides start from one model folder and learn from one file of pairs (two a prompt, answers of 40 to 80 tokens), in the same
batches, with the same learning rate, AdamW, clipping and precision; no dropout, the vision tower frozen, projector and language
model learn. bf16 is autocast over fp32 weights.

A round is one optimiser step of every side, so that the two steps of a ratio are neighbours in time; all sides go on from step
to step and are compared at each. What a side does once a job (ours: the reference's log-probabilities of all pairs, and the
vision tower over all pictures) is timed before the first step and added to its steps in equal parts: a job has --pairs / --batch
* --epochs steps, and --rounds stops after the first of them.

    --dump FOLDER    keeps model, pairs and steps.json (losses, norms and seconds of all sides) in a folder for each case
    --against        trl, trl-checkpointing (its default: activations computed again), plain (the reference at every step),
                     stored (a plain loop that computes it once)
    --model FOLDER   another LLaVA-like checkpoint; --grids is then of no effect
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from bench.checkpoints import Size, make_checkpoint
from bench.machine import PeakMemory, in_fresh_process
from bench.preference_data import write_pairs
from bench.results import Comparison, add_arguments, conclude
from bench.trainer_case import OURS, SIDES, Trained, trained
from bench.trainer_comparison import compare, dump, yardstick
from bench.trainer_job import Job, job_of
from bench.trainer_plain import start_model
from bench.trainer_texts import encoded_pairs
from rlaifv.adapters.huggingface.quiet import quiet
from rlaifv.core.training import Hyperparameters, Precision

PEAK_STEPS = 2
"""The second has gradients, activations and AdamW's moments at once."""


def main() -> int:
    """Run the bench; the exit code of `conclude`."""
    parser = _parser()
    arguments = parser.parse_args()
    if arguments.micro_batch is None:
        arguments.micro_batch = arguments.batch
    if arguments.batch % arguments.micro_batch or arguments.pairs % arguments.micro_batch:
        parser.error(f"--micro-batch {arguments.micro_batch} must divide --batch and --pairs")
    torch.set_num_threads(arguments.threads)
    with quiet():
        if arguments.peak:
            sys.stdout.write(json.dumps({"mib": _peak(arguments)}) + "\n")
            return 0
        found = [one for case in _cases(arguments) for one in case]
    return conclude(found, arguments.results)


def _cases(arguments: argparse.Namespace) -> Iterator[list[Comparison]]:
    """Every grid in the first number format, then the first grid in the others."""
    first, *others = arguments.dtype
    grids = arguments.grids[:1] if arguments.model else arguments.grids
    exact: dict[str, Trained] = {}
    for grid, dtype in [*((grid, first) for grid in grids), *((grids[0], other) for other in others)]:
        yield _case(arguments, grid, dtype, exact if grid == grids[0] else {})


def _case(arguments: argparse.Namespace, grid: int, dtype: str, exact: dict[str, Trained]) -> list[Comparison]:
    """One model and format. `exact` gets what the sides found in fp32, for the same job in another format."""
    with tempfile.TemporaryDirectory(prefix="bench-trainer-") as temporary:
        folder = Path(temporary)
        if arguments.dump:
            folder = arguments.dump / f"{'model' if arguments.model else grid**2}-{dtype}"
            folder.mkdir(parents=True, exist_ok=True)
        size = Size(grid=grid, layers=arguments.layers)
        model = arguments.model or make_checkpoint(folder / "model", size, arguments.seed)
        pairs = write_pairs(folder / "pairs.parquet", arguments.pairs, arguments.seed)
        few = write_pairs(folder / "warm-up.parquet", 1, arguments.seed + 1)
        job, warm_up = _job(arguments, model, pairs, dtype), _job(arguments, model, few, dtype)
        sides = [*arguments.against, OURS]
        found = trained(job, warm_up, sides, min(arguments.rounds, len(job.batches)))
        if arguments.dump:
            dump(folder, job, found)
        peaks = {} if arguments.no_peaks else _peaks(arguments, job, dtype, sides)
        known = exact if exact and dtype != "fp32" else None
        if dtype == "fp32":
            exact |= found
        name, held = _name(job), yardstick(job, len(found[OURS].steps))
        return [compare(job, found, side, held, name=name, peaks=peaks, exact=known) for side in found if side != OURS]


def _job(arguments: argparse.Namespace, model: Path, pairs: Path, dtype: str) -> Job:
    hyperparameters = Hyperparameters(
        learning_rate=arguments.learning_rate,
        epochs=arguments.epochs,
        batch_size=arguments.batch,
        micro_batch_size=arguments.micro_batch,
        precision=Precision(dtype),
        seed=arguments.seed,
    )
    return job_of(model, pairs, hyperparameters)


def _name(job: Job) -> str:
    placeholder = start_model(job).config.image_token_id
    return f"trainer, {encoded_pairs(job.model, job.pairs)[0].prompt.count(placeholder)} image tokens"


def _peaks(arguments: argparse.Namespace, job: Job, dtype: str, sides: list[str]) -> dict[str, float]:
    """MiB of loading and two steps, each side in a process of its own; TRL's also as it is unless told otherwise."""
    passed = ["learning_rate", "epochs", "batch", "micro_batch", "seed", "threads"]
    shared = [text for name in passed for text in (f"--{name.replace('_', '-')}", str(getattr(arguments, name)))]
    shared += ["--model", str(job.model), "--pairs-file", str(job.pairs), "--dtype", dtype]
    wanted = [*sides, "trl-checkpointing"] if "trl" in sides else sides
    return {side: in_fresh_process("bench.trainer", ["--peak", side, *shared])["mib"] for side in wanted}


def _peak(arguments: argparse.Namespace) -> float:
    """Memory that a side takes on top of its imports and of torch's own."""
    if arguments.peak.startswith("trl"):
        import bench.trainer_trl  # noqa: F401 - imports are not what is measured
    weight = torch.randn(64, 64, requires_grad=True)
    torch.autograd.backward((weight @ weight).sum())
    job = _job(arguments, arguments.model, arguments.pairs_file, arguments.dtype[0])
    with PeakMemory() as memory:
        side = SIDES[arguments.peak](job)
        side.start()
        for _ in range(min(PEAK_STEPS, len(job.batches))):
            side.step()
    return memory.mib


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Pairs a second of DPO training: the library, TRL's DPOTrainer and a plain loop."
    )
    add_arguments(parser, rounds=20)
    parser.add_argument("--grids", type=int, nargs="+", default=[16, 24], help="picture tokens are the square")
    parser.add_argument(
        "--dtype",
        nargs="+",
        choices=[str(p) for p in Precision],
        default=["fp32", "bf16"],
        help="all grids in the first, the first grid in the others",
    )
    parser.add_argument("--pairs", type=int, default=20, help="two a prompt")
    parser.add_argument("--batch", type=int, default=4, help="pairs of an optimiser step")
    parser.add_argument("--micro-batch", type=int, help="pairs that go through the model at once; all of the batch")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--learning-rate", type=float, default=1e-5)
    parser.add_argument("--layers", type=int, default=Size().layers, help="of the language model that is made")
    parser.add_argument("--model", type=Path, help="a model folder to measure with")
    parser.add_argument(
        "--against", nargs="+", choices=["trl", "trl-checkpointing", "plain", "stored"], default=["trl", "plain"]
    )
    parser.add_argument("--no-peaks", action="store_true", help="leave memory out")
    parser.add_argument("--dump", type=Path, help="keep model, pairs and every side's steps here")
    parser.add_argument("--peak", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--pairs-file", type=Path, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
