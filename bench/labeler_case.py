"""One comparison of the labeler bench: two sides timed turn by turn and compared claim by claim; peaks in fresh processes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from bench.labeler_flop import needed, prompts_of
from bench.labeler_published import DTYPES, PublishedSide
from bench.labeler_sides import LIMIT, Agreement, Answer, OurSide, Side, Turns, make_turns, reworded
from bench.machine import PeakMemory, in_fresh_process, matrix_rate
from bench.results import Comparison
from bench.scenes import AskedPicture
from bench.timing import Timed, cpu_seconds, interleave, speedup
from rlaifv.core.training import Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """A side that ours is compared with: its name in the table, how it starts, and how it words a question.

    `open` raises RlaifvError where something that it needs is missing. `measures_peak`: it computes in this process.
    """

    title: str
    open: Callable[[Path, Precision, int], Side]
    wording: Callable[[str], str] = str
    measures_peak: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One comparison to make; `asked` holds the bench's arguments."""

    folder: Path
    precision: Precision
    side: str
    repeated: float
    asked: argparse.Namespace

    def turns(self, wording: Callable[[str], str] = str) -> list[list[AskedPicture]]:
        """The warm-up's pictures and every round's."""
        asked = self.asked
        turns = make_turns(
            asked.rounds, asked.seed, pictures=asked.pictures, answers=asked.answers, claims=asked.claims,
            repeated=self.repeated,
        )  # fmt: skip
        return [[reworded(one, wording) for one in turn] for turn in turns]


def open_ours(folder: Path, precision: Precision, threads: int) -> Side:
    """HuggingFaceLabeler."""
    return OurSide(folder, precision, threads)


def compare(case: Case, baseline: Baseline) -> Comparison:
    """Measure a case and print more than its record holds. Errors as `Baseline.open`."""
    torch.set_num_threads(case.asked.threads)
    turns, same_words = case.turns(), case.turns(baseline.wording)
    with ExitStack() as stack:
        sides: dict[str, Side] = {}
        for name, start in (("baseline", baseline.open), ("ours", open_ours)):
            sides[name] = start(case.folder, case.precision, case.asked.threads)
            stack.callback(sides[name].close)
        work = {"baseline": Turns(sides["baseline"], turns), "ours": Turns(sides["ours"], same_words)}
        timed = interleave(
            work,
            rounds=case.asked.rounds,
            cpu_clock=lambda: cpu_seconds() + sum(side.cpu_seconds() for side in sides.values()),
        )
    agreement = Agreement.of(work["baseline"].found, work["ours"].found, _exact(case, same_words))
    record = _record(case, baseline, timed, agreement, _work(case, timed, same_words[1]))
    _show(record)
    return record


def _exact(case: Case, turns: list[list[AskedPicture]]) -> list[Answer]:
    """The answers in fp32, where a case in another format needs them; that ours are right there is a case of its own."""
    if case.precision is Precision.FP32:
        return []
    ours = OurSide(case.folder, Precision.FP32, case.asked.threads)
    try:
        return [answer for pictures in turns for answer in ours.ask(pictures)]
    finally:
        ours.close()


def peak_mib(side: str, case: Case, baseline: Baseline) -> float:
    """Growth of this process's memory while a side loads the model and answers a round's questions.

    Of what shares nothing one answer is enough: the next is as large.
    """
    torch.set_num_threads(case.asked.threads)
    torch.randn(64, 64) @ torch.randn(64, 64)
    pictures = case.turns(baseline.wording if side == "ours" else str)[0 if side != "ours" else 1]
    with PeakMemory() as peak:
        opened = (open_ours if side == "ours" else baseline.open)(case.folder, case.precision, case.asked.threads)
        opened.ask(pictures)
    opened.close()
    return peak.mib


def _work(case: Case, timed: Mapping[str, Timed[list[Answer]]], pictures: list[AskedPicture]) -> dict[str, Any]:
    """What a round asks, the FLOP it cannot do without, and how near to the machine's rate ours came."""
    plain = PublishedSide(case.folder, Precision.FP32)
    flop = needed(plain, pictures)
    rate = matrix_rate(DTYPES[case.precision])
    return {
        "pictures": len(pictures),
        "claims": sum(len(one.questions) for one in pictures),
        "distinct_claims": sum(len(set(one.questions)) for one in pictures),
        "image_tokens": prompts_of(plain, pictures[0]).image_tokens,
        "flop_needed": float(flop),
        "flop_per_s": flop / timed["ours"].median_s,
        "matrix_flop_per_s": rate,
        "share_of_matrix_rate": flop / timed["ours"].median_s / rate,
    }


def _record(
    case: Case,
    baseline: Baseline,
    timed: Mapping[str, Timed[list[Answer]]],
    agreement: Agreement,
    work: dict[str, Any],
) -> Comparison:
    theirs, ours = timed["baseline"], timed["ours"]
    ratio, cpu = speedup(theirs.wall_s, ours.wall_s), speedup(theirs.cpu_s, ours.cpu_s)
    share = f", {1 - work['distinct_claims'] / work['claims']:.0%} repeated" if case.repeated else ""
    peaks = _peaks(case, baseline)
    return Comparison(
        name=f"labeler, {work['image_tokens']} image tokens{share}",
        baseline=baseline.title,
        baseline_value=work["claims"] / theirs.median_s,
        ours_value=work["claims"] / ours.median_s,
        unit="claims/s",
        ratio=ratio.median,
        equal=agreement.within(case.precision),
        max_abs_diff=agreement.max_abs_diff,
        peak_mib_baseline=peaks.get(case.side),
        peak_mib_ours=peaks.get("ours"),
        dtype=case.precision.value,
        threads=case.asked.threads,
        seed=case.asked.seed,
        details={
            "low": ratio.low, "high": ratio.high, "cpu_ratio": cpu.median, "cpu_low": cpu.low, "cpu_high": cpu.high,
            "baseline_cpu_s": theirs.cpu_s, "ours_cpu_s": ours.cpu_s,
            "limit": LIMIT, **asdict(agreement), **work,
        },
    )  # fmt: skip


def _peaks(case: Case, baseline: Baseline) -> dict[str, float]:
    if not baseline.measures_peak or case.asked.quick:
        return {}
    asked = case.asked
    arguments = [
        "--model", str(case.folder), "--dtype", case.precision.value, "--sides", case.side,
        "--repeated", str(case.repeated), "--pictures", str(asked.pictures), "--answers", str(asked.answers),
        "--claims", str(asked.claims), "--threads", str(asked.threads), "--seed", str(asked.seed), "--rounds", "1",
    ]  # fmt: skip
    return {side: in_fresh_process("bench.labeler", [*arguments, "--peak", side]) for side in (case.side, "ours")}


def _show(one: Comparison) -> None:
    more = one.details
    sys.stdout.write(
        f"\n{one.name}, {one.dtype}, against {one.baseline}: {more['pictures']} pictures, {more['claims']} claims a round, "
        f"{more['distinct_claims']} distinct\n"
        f"  claims/s     {one.baseline_value:.4g} -> {one.ours_value:.4g}: {one.ratio:.3g}x "
        f"(rounds {more['low']:.3g} to {more['high']:.3g}), CPU time {more['cpu_ratio']:.3g}x\n"
        f"  equality     probabilities differ by {one.max_abs_diff:.2g} at most ({_yardstick(more)}), "
        f"{more['flips']} verdicts differ; {more['accepted']:.0%} accepted, p_yes/(p_yes+p_no) from "
        f"{more['least_share']:.2g} to {more['greatest_share']:.4f}\n"
        f"  FLOP needed  {more['flop_needed']:.3g} a round; ours reaches {more['flop_per_s']:.3g}/s, "
        f"{more['share_of_matrix_rate']:.0%} of this machine's {more['matrix_flop_per_s']:.3g}/s\n"
    )
    sys.stdout.flush()


def _yardstick(more: Mapping[str, Any]) -> str:
    if not more["rms_theirs"]:
        return f"limit {more['limit']:.0e}"
    return f"root mean square from fp32: theirs {more['rms_theirs']:.2g}, ours {more['rms_ours']:.2g}"
