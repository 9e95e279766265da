"""Plot of how busy each stage was: one strip a stage over the clock, darker the larger the share of the moment it was at work."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.colors import to_rgba

from rlaifv.adapters.report import drawing
from rlaifv.adapters.report.drawing import Plot
from rlaifv.adapters.report.results import RunResult
from rlaifv.adapters.report.run_files import StageSpan

STAGES = ("generate", "decompose", "score", "train", "validate", "evaluate")
_BINS = 120


def utilisation_plot(run: RunResult, name: str) -> Plot | None:
    """Each stage's share of time at work over the clock, and over the whole run in its label."""
    spans = run.files.timeline
    end_s = max((span.end_s for span in spans), default=0.0)
    stages = [stage for stage in STAGES if any(span.stage == stage for span in spans)]
    if not stages or end_s <= 0:
        return None
    shares = [busy_shares(spans, stage, end_s, _BINS) for stage in stages]
    totals = [busy_shares(spans, stage, end_s, 1)[0] for stage in stages]
    figure, axes = drawing.canvas(7.7, 0.9 + 0.32 * len(stages))
    width = end_s / _BINS
    for row, own in enumerate(shares):
        bars = [(number * width, width) for number in range(_BINS)]
        axes.broken_barh([(0, end_s)], (row - 0.4, 0.8), color=drawing.GRID, linewidth=0)
        axes.broken_barh(
            bars, (row - 0.4, 0.8), color=[to_rgba(drawing.BLUE, alpha=share) for share in own], linewidth=0
        )
    axes.set_yticks(range(len(stages)), [f"{s}  {100 * t:.0f} %" for s, t in zip(stages, totals, strict=True)])
    axes.set_ylim(len(stages) - 0.5, -0.5)
    axes.set_xlim(0, end_s)
    axes.grid(visible=False)
    axes.set_xlabel("seconds since the start; blue: at work, grey: idle")
    spoken = ", ".join(f"{stage} {100 * total:.0f} %" for stage, total in zip(stages, totals, strict=True))
    return Plot(
        name=name,
        title=f"How busy each stage was: {run.label}",
        wide=True,
        note="Beside the name: its share of the run. Validation and evaluation use policy, decomposer and labeler as well.",
        alt=f"Share of time at work by stage in run {run.label}: {spoken}",
        figure=figure,
    )


def busy_shares(spans: Sequence[StageSpan], stage: str, end_s: float, bins: int) -> list[float]:
    """Share of each of `bins` equal parts of 0 to `end_s` in which the stage had at least one span open."""
    width = end_s / bins
    busy = [0.0] * bins
    covered_to = 0.0
    for start, end in sorted((span.start_s, span.end_s) for span in spans if span.stage == stage):
        begin = max(start, covered_to)
        covered_to = max(covered_to, end)
        for number in range(max(0, int(begin / width)), bins):
            if number * width >= end:
                break
            busy[number] += max(0.0, min(end, (number + 1) * width) - max(begin, number * width))
    return [min(1.0, seconds / width) for seconds in busy]
