"""Plots of training: loss, reward margin and accuracy over all steps of all rounds."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.ticker import MaxNLocator

from rlaifv.adapters.report import drawing
from rlaifv.adapters.report.drawing import Plot
from rlaifv.adapters.report.plots_rounds import percent
from rlaifv.adapters.report.results import RunResult

_LINES = (
    ("loss", "Loss", "DPO loss in nats. ln 2 = 0.693 where nothing is learnt yet; each round starts there again."),
    (
        "reward_margin",
        "Reward margin",
        "How much more the policy prefers the chosen answer than its reference does, nats.",
    ),
    ("accuracy", "Pairs ranked rightly", "Share of a step's pairs whose reward margin is over 0."),
)


def training_plots(runs: Sequence[RunResult]) -> list[Plot]:
    """One plot per figure; none if no run was trained."""
    if not any(round_.files.training for run in runs for round_ in run.rounds):
        return []
    return [_line_plot(key, title, note, runs) for key, title, note in _LINES]


def _line_plot(key: str, title: str, note: str, runs: Sequence[RunResult]) -> Plot:
    figure, axes = drawing.canvas()
    ends: list[str] = []
    for run in runs:
        passed = 0
        for round_ in run.rounds:
            rows = [row for row in round_.files.training if key in row and "step" in row]
            if not rows:
                continue
            steps = [passed + int(row["step"]) for row in rows]
            values = [float(row[key]) for row in rows]
            smooth = _smooth(values)
            axes.plot(steps, values, color=run.colour, linewidth=0.6, alpha=0.3)
            axes.plot(steps, smooth, color=run.colour, label=run.label if not passed else None)
            if run is runs[0] and passed:
                axes.axvline(passed, color=drawing.GREY, linewidth=0.8, linestyle=(0, (2, 3)))
            passed = steps[-1]
            ends.append(f"{run.label} round {round_.index}: {smooth[-1]:.3f}")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_xlabel("optimiser steps, all rounds")
    if key == "accuracy":
        axes.yaxis.set_major_formatter(percent())
    if len(runs) > 1:
        drawing.legend_below(axes, 2)
    alt = f"{title} at the end of each round. {'; '.join(ends)}"
    return Plot(name=f"training_{key}", title=title, note=note, alt=alt, figure=figure)


def _smooth(values: Sequence[float]) -> list[float]:
    """A mean over the last tenth of the steps, so that single batches do not hide the course."""
    window = max(1, len(values) // 10)
    return [sum(values[max(0, i - window + 1) : i + 1]) / (i + 1 - max(0, i - window + 1)) for i in range(len(values))]
