"""Plots of what changes from round to round: quality on held-out pictures, pairs, and what was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.ticker import FuncFormatter, MaxNLocator

from rlaifv.adapters.report import drawing
from rlaifv.adapters.report.drawing import Plot
from rlaifv.adapters.report.figures import Figures
from rlaifv.adapters.report.results import RunResult

Metric = Callable[[Figures], tuple[float, tuple[float, float]] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricPlot:
    """A figure followed over the rounds, with its interval."""

    name: str
    title: str
    note: str
    read: Metric
    percent: bool
    from_zero: bool


def _yes_no(figures: Figures) -> tuple[float, tuple[float, float]] | None:
    if figures.yes_no_accuracy is None or figures.yes_no_accuracy_ci95 is None:
        return None
    return figures.yes_no_accuracy, figures.yes_no_accuracy_ci95


METRIC_PLOTS = (
    MetricPlot(
        name="response_hallucination",
        title="Answers with a false claim",
        note="Share of held-out answers that claim something untrue. Lower is better.",
        read=lambda f: (f.response_hallucination, f.response_hallucination_ci95),
        percent=True,
        from_zero=True,
    ),
    MetricPlot(
        name="mention_hallucination",
        title="False claims",
        note="Share of all claims that the truth can judge. Lower is better.",
        read=lambda f: (f.mention_hallucination, f.mention_hallucination_ci95),
        percent=True,
        from_zero=True,
    ),
    MetricPlot(
        name="coverage",
        title="Coverage",
        note="Share of the things really there that the answer names. Must not fall.",
        read=lambda f: (f.coverage, f.coverage_ci95),
        percent=True,
        from_zero=False,
    ),
    MetricPlot(
        name="mean_words",
        title="Length",
        note="Mean words of an answer. Must not fall: saying less is not alignment.",
        read=lambda f: (f.mean_words, f.mean_words_ci95),
        percent=False,
        from_zero=True,
    ),
    MetricPlot(
        name="yes_no_accuracy",
        title="Yes/no accuracy",
        note="The policy's own answers to yes/no questions about held-out pictures. Half is chance.",
        read=_yes_no,
        percent=True,
        from_zero=False,
    ),
)


def metric_plots(runs: Sequence[RunResult]) -> list[Plot]:
    """One plot per figure that at least one run has."""
    return [_metric_plot(metric, runs) for metric in METRIC_PLOTS if any(_series(metric, run) for run in runs)]


def _series(metric: MetricPlot, run: RunResult) -> list[tuple[int, float, float, float, bool]]:
    found = []
    for round_ in run.rounds:
        value = metric.read(round_.figures) if round_.figures else None
        if value is not None:
            point, (low, high) = value
            found.append((round_.index, point, point - low, high - point, round_.promoted))
    return found


def _metric_plot(metric: MetricPlot, runs: Sequence[RunResult]) -> Plot:
    figure, axes = drawing.canvas()
    top = 0.0
    for place, run in enumerate(runs):
        shift = (place - (len(runs) - 1) / 2) * 0.12
        series = _series(metric, run)
        top = max([top, *(point + above for _, point, _, above, _ in series)])
        _draw_series(axes, run, [(index + shift, *rest) for index, *rest in series])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("round (0: before training)")
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    if metric.percent:
        axes.yaxis.set_major_formatter(percent())
    if metric.from_zero:
        axes.set_ylim(0, top * 1.12 or 1)
    if len(runs) > 1:
        drawing.legend_below(axes, 2)
    spoken = "; ".join(
        f"{run.label}: " + ", ".join(f"round {i} {_spoken(v, metric.percent)}" for i, v, *_ in _series(metric, run))
        for run in runs
    )
    return Plot(name=metric.name, title=metric.title, note=metric.note, alt=f"{metric.title}. {spoken}", figure=figure)


def _draw_series(axes: Any, run: RunResult, series: Sequence[Any]) -> None:
    if not series:
        return
    x, y, below, above, promoted = zip(*series, strict=True)
    axes.errorbar(x, y, yerr=(below, above), color=run.colour, capsize=3, elinewidth=1.1, label=run.label)
    for px, py, new in zip(x, y, promoted, strict=True):
        face = run.colour if new else drawing.SURFACE
        axes.plot([px], [py], marker=run.marker, markersize=6, color=run.colour, markerfacecolor=face, zorder=3)


def percent() -> FuncFormatter:
    """Shares as per cent."""
    return FuncFormatter(lambda value, _: f"{value * 100:.0f} %")


def _spoken(value: float, as_percent: bool) -> str:
    return f"{value * 100:.1f} %" if as_percent else f"{value:.1f}"


def pairs_plot(runs: Sequence[RunResult]) -> Plot | None:
    """Pairs trained on in each round; hatched where the checkpoint was not promoted."""
    trained = [(run, [r for r in run.rounds if r.index > 0 and r.stated]) for run in runs]
    if not any(rounds for _, rounds in trained):
        return None
    figure, axes = drawing.canvas()
    width = 0.7 / len(runs)
    for place, (run, rounds) in enumerate(trained):
        for number, round_ in enumerate(rounds):
            x = round_.index + (place - (len(runs) - 1) / 2) * width
            look = {} if round_.promoted else {"hatch": "////", "fill": False, "edgecolor": run.colour}
            label = run.label if number == 0 else None
            bar = axes.bar(x, round_.pairs, width * 0.9, color=run.colour if round_.promoted else None, **look)
            bar.set_label(label)
            axes.bar_label(bar, fontsize=8, color=drawing.MUTED, padding=2)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("round")
    axes.margins(y=0.15)
    if len(runs) > 1:
        drawing.legend_below(axes, 2)
    spoken = "; ".join(f"{run.label}: " + ", ".join(str(r.pairs) for r in rounds) for run, rounds in trained)
    note = "Preference pairs that each round trained on. Hatched: the checkpoint was not promoted."
    return Plot(name="pairs", title="Pairs per round", note=note, alt=f"Pairs per round. {spoken}", figure=figure)


def drops_plot(run: RunResult, name: str) -> Plot | None:
    """What one run left out, by reason, one shade per round."""
    rounds = [r for r in run.rounds if r.dropped]
    reasons = [reason for reason, _ in sum((Counter(r.dropped) for r in rounds), Counter()).most_common()]
    if not reasons:
        return None
    figure, axes = drawing.canvas(height=1.1 + 0.3 * len(reasons))
    start = [0] * len(reasons)
    for number, round_ in enumerate(rounds):
        counts = [round_.dropped.get(reason, 0) for reason in reasons]
        shade = 1.0 - 0.7 * number / max(1, len(rounds) - 1) if len(rounds) > 1 else 1.0
        axes.barh(reasons, counts, left=start, color=run.colour, alpha=shade, height=0.7, label=f"round {round_.index}")
        start = [a + b for a, b in zip(start, counts, strict=True)]
    axes.bar_label(axes.containers[-1], labels=[f"{n:,}" for n in start], padding=3, fontsize=8, color=drawing.MUTED)
    axes.invert_yaxis()
    axes.grid(visible=True, axis="x")
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.margins(x=0.15)
    drawing.legend_below(axes, 4)
    spoken = ", ".join(f"{reason} {n}" for reason, n in zip(reasons, start, strict=True))
    return Plot(
        name=name,
        title=f"Left out: {run.label}",
        note="Everything that went no further, over all rounds.",
        alt=f"Left out in run {run.label}: {spoken}",
        figure=figure,
    )
