"""The labeler against other ways to get the same verdicts from the same checkpoint: `python -m bench.labeler`.

| side       | what answers                                                                   | shares                     |
|------------|--------------------------------------------------------------------------------|----------------------------|
| ours       | HuggingFaceLabeler, all pictures given at once                                 | picture, questions, passes |
| published  | transformers, one forward pass a claim, batch 1, as the paper's code does      | nothing                    |
| faithscore | the verification step of faithscore 0.0.9 with this model behind it            | nothing                    |
| vllm       | vLLM with prefix caching, one request a claim, all given at once               | prefixes, passes           |
| triton     | tritonserver with dynamic batching, one request a claim, all sent at once      | passes                     |

Every round has new pictures. All sides take the same questions in the same prompts, the same processor's pixels, the same tokens
for yes and no, and softmax over the whole vocabulary in fp32.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.checkpoints import Size, make_checkpoint
from bench.labeler_case import Baseline, Case, compare, peak_mib
from bench.labeler_faithscore import FaithscoreSide
from bench.labeler_faithscore import wording as faithscore_wording
from bench.labeler_published import PublishedSide
from bench.labeler_triton import TritonSide
from bench.labeler_vllm import VllmSide
from bench.machine import description
from bench.results import Comparison, add_arguments, conclude
from rlaifv.core.errors import RlaifvError
from rlaifv.core.training import Precision

DEMO_SHARE = 0.87
"""Of 15,214 claims in 10 answers about each of 240 pictures (first round of `rlaifv run demo/runs/stronger.yaml`), 2,033 are
distinct within their picture. That world is small and its policy has habits: other pictures lie between this and 0."""

BASELINES = {
    "published": Baseline(
        title="published procedure, batch 1", open=lambda folder, precision, threads: PublishedSide(folder, precision)
    ),
    "faithscore": Baseline(title="faithscore 0.0.9, verification", open=FaithscoreSide, wording=faithscore_wording),
    "vllm": Baseline(title="vLLM 0.32, prefix caching", open=VllmSide, measures_peak=False),
    "triton": Baseline(title="tritonserver, dynamic batching", open=TritonSide, measures_peak=False),
}


def cases(asked: argparse.Namespace, folders: list[Path]) -> Iterator[Case]:
    """The first side with every checkpoint and number format; the rest with the last checkpoint and the first format only."""
    for folder in folders:
        for dtype in asked.dtype:
            precision = Precision(dtype)
            first = folder == folders[-1] and dtype == asked.dtype[0]
            for repeated in asked.repeated if first else asked.repeated[:1]:
                for side in asked.sides if first and repeated == asked.repeated[0] else asked.sides[:1]:
                    yield Case(folder=folder, precision=precision, side=side, repeated=repeated, asked=asked)


def measure(asked: argparse.Namespace) -> list[Comparison]:
    """All cases; one whose side cannot start here is left out with a line that says why."""
    found = []
    with tempfile.TemporaryDirectory(prefix="labeler-bench-") as folder:
        made = [asked.model] if asked.model else [
            make_checkpoint(Path(folder) / str(grid), Size(grid=grid), asked.seed) for grid in asked.grids
        ]  # fmt: skip
        for case in cases(asked, made):
            try:
                found.append(compare(case, BASELINES[case.side]))
            except RlaifvError as error:
                sys.stdout.write(f"\nLEFT OUT: {case.side}: {error.message}\n")
    return found


def arguments() -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser(description="Measure the labeler against other ways to get the same verdicts.")
    add_arguments(parser, rounds=3)
    parser.add_argument("--model", type=Path, help="a checkpoint folder, instead of those made here")
    parser.add_argument(
        "--grids", type=int, nargs="+", default=[16, 24], help="picture tokens a side, of checkpoints made"
    )
    parser.add_argument("--dtype", nargs="+", choices=list(Precision), default=["fp32", "bf16"], help="number formats")
    parser.add_argument("--sides", nargs="+", choices=list(BASELINES), default=list(BASELINES), help="to compare with")
    parser.add_argument("--pictures", type=int, default=2, help="a round")
    parser.add_argument("--answers", type=int, default=10, help="about a picture")
    parser.add_argument("--claims", type=int, default=9, help="in an answer")
    parser.add_argument(
        "--repeated", type=float, nargs="+", default=[0.0, DEMO_SHARE],
        help="share of claims that an earlier answer made; the later values are measured in the last checkpoint's first format",
    )  # fmt: skip
    parser.add_argument(
        "--quick", action="store_true", help="a few seconds: 256 tokens, fp32, 3 answers, published side"
    )
    parser.add_argument("--peak", choices=["ours", *BASELINES], help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.quick:
        asked.grids, asked.dtype, asked.sides, asked.repeated = [16], ["fp32"], ["published"], [0.0]
        asked.pictures, asked.answers = 1, 3
    return asked


def main() -> int:
    """The exit code: 1 if two sides did not find the same."""
    asked = arguments()
    if asked.peak:
        case = Case(
            folder=asked.model, precision=Precision(asked.dtype[0]), side=asked.sides[0], repeated=asked.repeated[0], asked=asked
        )  # fmt: skip
        sys.stdout.write(json.dumps(peak_mib(asked.peak, case, BASELINES[case.side])) + "\n")
        return 0
    sys.stdout.write(f"{description()}; {asked.threads} thread(s), seed {asked.seed}\n")
    found = measure(asked)
    sys.stdout.write("\n")
    return conclude(found, asked.results)


if __name__ == "__main__":
    sys.exit(main())
