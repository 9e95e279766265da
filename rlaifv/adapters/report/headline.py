"""The result in honest sentences, and which aims were reached. Computed from the figures; nothing here is written by hand."""

from __future__ import annotations

from dataclasses import dataclass

from rlaifv.adapters.report.figures import Figures, Interval
from rlaifv.adapters.report.results import RunResult

AIM_REDUCTION = 0.5
"""Response-level hallucination should fall by at least this share of the start (the paper: 0.807)."""
AIM_KEPT = 0.95
"""Coverage and length should keep at least this share of the start."""
_NBSP = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """One aim, what was measured, and whether it was reached."""

    name: str
    text: str
    measured: str
    reached: bool


def percent(value: float, digits: int = 1) -> str:
    """0.472 -> "47.2 %"."""
    return f"{value * 100:.{digits}f}{_NBSP}%"


def percents(interval: Interval) -> str:
    """(0.43, 0.51) -> "43.0 to 51.0 %"."""
    return f"{interval[0] * 100:.1f} to {interval[1] * 100:.1f}{_NBSP}%"


def headline(run: RunResult) -> str:
    """The change in hallucination from the start to the last round, with intervals, and whether it is beyond chance."""
    who = f"With {'the ' if run.files.labeler == 'stronger' else ''}{run.label}"
    if run.first is None or run.first.figures is None:
        return f"{who}, nothing has been evaluated yet."
    before = run.first.figures
    if run.last is None or run.last.figures is None:
        return (
            f"{who}, {percent(before.response_hallucination)} of answers hallucinate at the start; "
            "no later round has been evaluated yet."
        )
    after = run.last.figures
    moved = (
        f"from {percent(before.response_hallucination)} to {percent(after.response_hallucination)} "
        f"(95{_NBSP}% intervals {percents(before.response_hallucination_ci95)} and "
        f"{percents(after.response_hallucination_ci95)}) in {_rounds(run.last.index)}"
    )
    kept = f"coverage went from {before.coverage:.2f} to {after.coverage:.2f}, length from " + (
        f"{before.mean_words:.1f} to {after.mean_words:.1f} words"
    )
    missed = [aim.name for aim in aims(run) if not aim.reached]
    verdict = f" Missed: {', '.join(missed)}." if missed else ""
    return f"{who}, {_verb(before, after)} {moved}; {kept}.{verdict}"


def _verb(before: Figures, after: Figures) -> str:
    start, end = before.response_hallucination, after.response_hallucination
    low, high = before.response_hallucination_ci95
    if after.response_hallucination_ci95[1] < low:
        return "hallucinating answers fell"
    if after.response_hallucination_ci95[0] > high:
        return "hallucinating answers rose"
    if end == start:
        return "hallucinating answers did not change: they went"
    direction = "lower" if end < start else "higher"
    return (
        f"hallucinating answers did not change beyond chance (the end is {direction}, but the intervals overlap):"
        + (" they went")
    )


def aims(run: RunResult) -> list[Aim]:
    """What the run should reach: less hallucination without saying less. Empty until there is something to compare."""
    if run.first is None or run.last is None or run.first.figures is None or run.last.figures is None:
        return []
    before, after = run.first.figures, run.last.figures
    # A policy that judges itself is held to a lower aim: it knows no more than it says.
    less = [] if run.files.labeler == "self" else [_less(before, after)]
    kept = [_kept("Coverage", before.coverage, after.coverage), _kept("Length", before.mean_words, after.mean_words)]
    return [*less, _apart(before, after), *kept]


def _less(before: Figures, after: Figures) -> Aim:
    reduction = reduction_of(before, after)
    return Aim(
        name="the aim of half",
        text="Answers that hallucinate: down by half or more",
        measured=f"{'down' if reduction >= 0 else 'up'} by {percent(abs(reduction))} of the start",
        reached=reduction >= AIM_REDUCTION,
    )


def _apart(before: Figures, after: Figures) -> Aim:
    first, last = before.response_hallucination_ci95, after.response_hallucination_ci95
    return Aim(
        name="the aim of intervals apart",
        text="Clearly below the start: intervals apart",
        measured=f"{percents(last)} against {percents(first)}",
        reached=last[1] < first[0],
    )


def _kept(what: str, before: float, after: float) -> Aim:
    change = after / before - 1 if before else 0.0
    return Aim(
        name=f"the aim of keeping {what.lower()}",
        text=f"{what}: not below the start by more than 5{_NBSP}%",
        measured=f"{change * 100:+.1f}{_NBSP}% of the start",
        reached=change >= AIM_KEPT - 1 - 1e-12,
    )


def reduction_of(before: Figures, after: Figures) -> float:
    """By which share of its start hallucination fell; below 0 where it rose."""
    start = before.response_hallucination
    return 1 - after.response_hallucination / start if start else 0.0


def _rounds(count: int) -> str:
    return "1 round" if count == 1 else f"{count} rounds"
