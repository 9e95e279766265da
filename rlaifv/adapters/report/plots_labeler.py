"""Plots of the labeler and of what is wrong by kind of claim."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.ticker import FuncFormatter

from rlaifv.adapters.report import drawing
from rlaifv.adapters.report.drawing import Plot
from rlaifv.adapters.report.plots_rounds import percent
from rlaifv.adapters.report.reliability import BINS, judged_claims, reliability_bins
from rlaifv.adapters.report.results import RunResult
from rlaifv.adapters.report.run_files import ClaimRow


def reliability_plot(runs: Sequence[RunResult]) -> Plot | None:
    """Share of true claims against the labeler's confidence; the area of a dot grows with its number of claims."""
    curves = [(run, reliability_bins(judged_claims(run.files))) for run in runs]
    if not any(bins for _, bins in curves):
        return None
    figure, axes = drawing.canvas(height=3.7)
    axes.plot([0, 1], [0, 1], color=drawing.GREY, linewidth=1, linestyle=(0, (4, 3)), label="perfect")
    most = max(held.count for _, bins in curves for held in bins)
    for run, bins in curves:
        x, y = [b.mean_share for b in bins], [b.true_share for b in bins]
        axes.plot(x, y, color=run.colour, linewidth=1.4, label=run.label)
        sizes = [12 + 220 * b.count / most for b in bins]
        axes.scatter(x, y, s=sizes, color=run.colour, alpha=0.75, linewidths=0, zorder=3)
    axes.set_xlim(-0.04, 1.04)
    axes.set_ylim(-0.04, 1.04)
    axes.set_aspect("equal")
    axes.grid(visible=True, axis="both")
    axes.xaxis.set_major_formatter(percent())
    axes.yaxis.set_major_formatter(percent())
    axes.set_xlabel("labeler's p(yes) / (p(yes) + p(no))")
    axes.set_ylabel("share of claims that are true")
    drawing.legend_below(axes, 3)
    spoken = "; ".join(
        f"{run.label}: "
        + ", ".join(f"at {b.mean_share * 100:.0f} % {b.true_share * 100:.0f} % true of {b.count}" for b in bins)
        for run, bins in curves
    )
    note = "Held-out claims in ten bins of the labeler's confidence. On the dashed line it is as sure as it is right."
    return Plot(name="reliability", title="Labeler reliability", note=note, alt=f"Reliability. {spoken}", figure=figure)


def confidence_plot(runs: Sequence[RunResult]) -> Plot | None:
    """Where true (upwards) and false claims (downwards) lie on the labeler's scale: a good labeler keeps them apart."""
    held = [(run, judged_claims(run.files)) for run in runs]
    held = [(run, claims) for run, claims in held if claims]
    if not held:
        return None
    figure, axes = drawing.canvas(height=3.7)
    width = 0.9 / BINS / len(held)
    for place, (run, claims) in enumerate(held):
        middles = [(b + 0.5) / BINS + (place - (len(held) - 1) / 2) * width for b in range(BINS)]
        axes.bar(middles, _spread(claims, True), width, color=run.colour, label=run.label)
        axes.bar(middles, [-share for share in _spread(claims, False)], width, color=run.colour, alpha=0.45)
    axes.axhline(0, color=drawing.INK, linewidth=0.8)
    axes.axvline(0.5, color=drawing.GREY, linewidth=0.8, linestyle=(0, (2, 3)))
    axes.set_xlim(-0.02, 1.02)
    axes.xaxis.set_major_formatter(percent())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{abs(value) * 100:.0f} %"))
    axes.set_xlabel("labeler's p(yes) / (p(yes) + p(no))")
    axes.set_ylabel("of false claims        of true claims")
    drawing.legend_below(axes, 2)
    note = "How all true claims (upwards) and all false claims (downwards) spread. Dotted: the paper's threshold."
    spoken = "; ".join(f"{run.label}: {len(claims)} claims" for run, claims in held)
    return Plot(name="confidence", title="Labeler confidence", note=note, alt=f"{note} {spoken}", figure=figure)


def _spread(claims: Sequence[ClaimRow], truth: bool) -> list[float]:
    """Share of the claims with this truth in each bin."""
    shares = [claim.share for claim in claims if claim.truth is truth and claim.share is not None]
    counts = [0] * BINS
    for share in shares:
        counts[min(int(share * BINS), BINS - 1)] += 1
    return [count / len(shares) if shares else 0.0 for count in counts]


def false_by_type_plot(runs: Sequence[RunResult]) -> Plot | None:
    """False claims in 100 answers by claim type: a hollow dot for the start, a filled one for the last round."""
    compared = [(run, run.first.false_claims_per_answer(), run.last) for run in runs if run.first and run.last]
    found = {kind for _, before, last in compared if last for kind in {*before, *last.false_claims_per_answer()}}
    if not found:
        return None
    types = sorted(found, key=lambda kind: (-max(before.get(kind, 0.0) for _, before, _ in compared), kind))
    figure, axes = drawing.canvas(height=max(3.7, 1.3 + 0.5 * len(types)))
    for place, (run, before, last) in enumerate(compared):
        after = last.false_claims_per_answer() if last else {}
        shift = (place - (len(compared) - 1) / 2) * 0.3
        for row, kind in enumerate(types):
            start, end = 100 * before.get(kind, 0.0), 100 * after.get(kind, 0.0)
            axes.plot([start, end], [row + shift] * 2, color=run.colour, linewidth=2, alpha=0.55)
            axes.plot([start], [row + shift], run.marker, color=run.colour, markerfacecolor=drawing.SURFACE)
            label = run.label if row == 0 else None
            axes.plot([end], [row + shift], run.marker, color=run.colour, label=label)
    axes.set_yticks(range(len(types)), types)
    axes.set_ylim(len(types) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.grid(visible=True, axis="x")
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("false claims in 100 answers")
    drawing.legend_below(axes, 2)
    note = "By type of claim. Hollow: the start; filled: the last round."
    return Plot(
        name="false_by_type", title="What is wrong", note=note, alt=f"False claims by type. {note}", figure=figure
    )
