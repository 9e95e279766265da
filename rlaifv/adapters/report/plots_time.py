"""Plots of where the time went: seconds by stage and round, and what was at work when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from matplotlib.ticker import MaxNLocator

from rlaifv.adapters.report import drawing
from rlaifv.adapters.report.drawing import Plot
from rlaifv.adapters.report.results import RunResult
from rlaifv.adapters.report.run_files import StageSpan

STAGES = ("generate", "decompose", "score", "pair", "load", "train", "validate", "evaluate")
_COLOURS = dict(zip(STAGES, drawing.SERIES_COLOURS, strict=True))


def stage_plot(run: RunResult, name: str) -> Plot | None:
    """Seconds of each round in which each stage was at work. Stages overlap, so a bar can exceed the clock."""
    rounds = [(r.index, seconds) for r in run.rounds if (seconds := r.stage_seconds or _from_timeline(run, r.index))]
    if not rounds:
        return None
    figure, axes = drawing.canvas(height=max(2.8, 1.2 + 0.26 * len(rounds)))
    left = [0.0] * len(rounds)
    rows = [f"round {index}" for index, _ in rounds]
    for stage in _ordered(stage for _, seconds in rounds for stage in seconds):
        lengths = [seconds.get(stage, 0.0) for _, seconds in rounds]
        axes.barh(rows, lengths, left=left, height=0.68, color=_COLOURS.get(stage, drawing.GREY), label=stage)
        left = [a + b for a, b in zip(left, lengths, strict=True)]
    axes.invert_yaxis()
    axes.grid(visible=True, axis="x")
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("seconds, stages added up")
    drawing.legend_below(axes, 4)
    spoken = ", ".join(f"round {index}: {sum(seconds.values()):.0f} s" for index, seconds in rounds)
    return Plot(
        name=name,
        title=f"Work by stage: {run.label}",
        note="Seconds in which each stage was at work. Stages overlap, so a bar can be longer than the clock.",
        alt=f"Seconds of work by stage in run {run.label}. {spoken}",
        figure=figure,
    )


def timeline_plot(run: RunResult, name: str) -> Plot | None:
    """When each stage was at work: a bar where one shard was, darker where several were at once."""
    spans = run.files.timeline
    if not spans:
        return None
    stages = _ordered(span.stage for span in spans)
    figure, axes = drawing.canvas(7.7, 2.8)
    for row, stage in enumerate(stages):
        own = [span for span in spans if span.stage == stage]
        bars = [(span.start_s, max(span.end_s - span.start_s, 0.0)) for span in own]
        axes.broken_barh(bars, (row - 0.36, 0.72), color=_COLOURS.get(stage, drawing.GREY), alpha=0.6, linewidth=0)
    for start in _round_starts(spans):
        axes.axvline(start, color=drawing.GREY, linewidth=0.8, linestyle=(0, (2, 3)))
    axes.set_yticks(range(len(stages)), stages)
    axes.set_ylim(len(stages) - 0.5, -0.5)
    axes.set_xlim(0, max(span.end_s for span in spans))
    axes.grid(visible=True, axis="x")
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(8))
    axes.set_xlabel("seconds since the start; dotted: a round begins")
    overlap = overlap_share(spans)
    return Plot(
        name=name,
        title=f"What was at work when: {run.label}",
        wide=True,
        note=f"Darker: several shards at once. Two or more stages were at work for {overlap * 100:.0f} % of the busy time.",
        alt=f"Timeline of the stages in run {run.label}; stages overlap for {overlap * 100:.0f} % of the busy time",
        figure=figure,
    )


def overlap_share(spans: Sequence[StageSpan]) -> float:
    """Share of the time with any work in which two or more stages were at work."""
    edges = sorted([(s.start_s, 1, s.stage) for s in spans] + [(s.end_s, -1, s.stage) for s in spans])
    at_work: dict[str, int] = {}
    busy = shared = before = 0.0
    for moment, change, stage in edges:
        active = sum(count > 0 for count in at_work.values())
        busy += (moment - before) * (active > 0)
        shared += (moment - before) * (active > 1)
        at_work[stage] = at_work.get(stage, 0) + change
        before = moment
    return shared / busy if busy else 0.0


def _round_starts(spans: Sequence[StageSpan]) -> list[float]:
    starts: dict[int, float] = {}
    for span in spans:
        starts[span.iteration] = min(span.start_s, starts.get(span.iteration, span.start_s))
    return sorted(starts.values())[1:]


def _from_timeline(run: RunResult, index: int) -> dict[str, float]:
    seconds: dict[str, float] = {}
    for span in run.files.timeline:
        if span.iteration == index:
            seconds[span.stage] = seconds.get(span.stage, 0.0) + span.end_s - span.start_s
    return seconds


def _ordered(stages: Iterable[str]) -> list[str]:
    found = set(stages)
    return [stage for stage in STAGES if stage in found] + sorted(stage for stage in found if stage not in STAGES)
