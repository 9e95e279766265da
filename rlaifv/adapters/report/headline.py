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


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """`change` is the sentence about hallucination, with intervals; `rest` says what was kept and which aims were missed."""

    change: str
    rest: str

    def __str__(self) -> str:
        return f"{self.change} {self.rest}".strip()


def headline(run: RunResult) -> Headline:
    """The change from the start to the last round, and whether it is beyond chance."""
    who = f"With {'the ' if run.files.labeler == 'stronger' else ''}{run.label}"
    if run.first is None or run.first.figures is None:
        return Headline(change=f"{who}, nothing has been evaluated yet.", rest="")
    before = run.first.figures
    if run.last is None or run.last.figures is None:
        start = percent(before.response_hallucination)
        change = f"{who}, {start} of answers hallucinate at the start; no later round has been evaluated yet."
        return Headline(change=change, rest="")
    after = run.last.figures
    missed = [aim.name for aim in aims(run) if not aim.reached]
    rest = (
        f"Coverage went from {before.coverage:.2f} to {after.coverage:.2f}, "
        f"length from {before.mean_words:.1f} to {after.mean_words:.1f} words."
    )
    return Headline(
        change=f"{who}, {_change(before, after)} in {_rounds(run.last.index)}.",
        rest=f"{rest} Aims missed: {', '.join(missed)}." if missed else rest,
    )


def _change(before: Figures, after: Figures) -> str:
    first, last = before.response_hallucination_ci95, after.response_hallucination_ci95
    start, end = percent(before.response_hallucination), percent(after.response_hallucination)
    intervals = f"95{_NBSP}% intervals {percents(first)} and {percents(last)}"
    if last[1] < first[0]:
        return f"hallucinating answers fell from {start} to {end} ({intervals})"
    if last[0] > first[1]:
        return f"hallucinating answers rose from {start} to {end} ({intervals})"
    return (
        f"hallucinating answers did not change beyond chance: {start} before, {end} after ({intervals}, they overlap)"
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
        name="halving",
        text="Answers that hallucinate: down by half or more",
        measured=f"{'down' if reduction >= 0 else 'up'} by {percent(abs(reduction))} of the start",
        reached=reduction >= AIM_REDUCTION,
    )


def _apart(before: Figures, after: Figures) -> Aim:
    first, last = before.response_hallucination_ci95, after.response_hallucination_ci95
    return Aim(
        name="intervals apart",
        text="Clearly below the start: intervals apart",
        measured=f"{percents(last)} against {percents(first)}",
        reached=last[1] < first[0],
    )


def _kept(what: str, before: float, after: float) -> Aim:
    change = after / before - 1 if before else 0.0
    return Aim(
        name=f"{what.lower()} kept",
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
