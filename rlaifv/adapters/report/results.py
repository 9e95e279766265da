"""A run as the report speaks of it: figures per round (recomputed and checked against the stated ones), colours, labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rlaifv.adapters.report.drawing import RUN_COLOURS, RUN_MARKERS, VARIABLES
from rlaifv.adapters.report.figures import Disagreement, Figures, disagreements, recompute
from rlaifv.adapters.report.run_files import RoundFiles, RunFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundResult:
    """One round. `figures` are None where there was no evaluation; `stated` is the round's entry in summary.json."""

    index: int
    promoted: bool
    stated: Mapping[str, Any]
    figures: Figures | None
    disagreements: tuple[Disagreement, ...]
    files: RoundFiles

    @property
    def pairs(self) -> int:
        return int(self.stated.get("pairs") or 0)

    @property
    def dropped(self) -> dict[str, int]:
        return {str(reason): int(n) for reason, n in (self.stated.get("dropped") or {}).items()}

    @property
    def stage_seconds(self) -> dict[str, float]:
        return {str(stage): float(s) for stage, s in (self.stated.get("stage_seconds") or {}).items()}

    def false_claims_per_answer(self) -> dict[str, float]:
        """Mean number of false claims in an answer, by claim type."""
        answers = self.files.answers
        counts = Counter(claim.type for a in answers for claim in a.claims if claim.truth is False)
        return {kind: n / len(answers) for kind, n in counts.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """A run, its rounds in order, and how it is drawn."""

    files: RunFiles
    rounds: tuple[RoundResult, ...]
    label: str
    colour: str
    marker: str
    evaluated: tuple[RoundResult, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "evaluated", tuple(r for r in self.rounds if r.figures))

    @property
    def colour_name(self) -> str:
        """The page's name for the run's colour."""
        return VARIABLES[self.colour]

    @property
    def first(self) -> RoundResult | None:
        """The start, before any training; None if it was not evaluated."""
        return next((r for r in self.evaluated if r.index == 0), None)

    @property
    def last(self) -> RoundResult | None:
        """The newest evaluated round: always the last, never the best, so that nothing is chosen by its result."""
        return self.evaluated[-1] if self.evaluated and self.evaluated[-1].index > 0 else None


def results(runs: Sequence[RunFiles]) -> list[RunResult]:
    """The runs in the order given, each with its own colour, marker and a label that is unique."""
    labels = _labels(runs)
    return [
        RunResult(
            files=run,
            rounds=tuple(_round(round_, int(run.summary.get("seed") or 0)) for round_ in run.rounds),
            label=label,
            colour=RUN_COLOURS[place % len(RUN_COLOURS)],
            marker=RUN_MARKERS[place % len(RUN_MARKERS)],
        )
        for place, (run, label) in enumerate(zip(runs, labels, strict=True))
    ]


def _round(files: RoundFiles, seed: int) -> RoundResult:
    figures = recompute(files.answers, seed)
    stated = (files.stated or {}).get("eval")
    return RoundResult(
        index=files.index,
        promoted=files.promoted,
        stated=files.stated or {},
        figures=figures,
        disagreements=tuple(disagreements(stated, figures)) if figures and isinstance(stated, dict) else (),
        files=files,
    )


_LABELERS = {"self": "self-feedback", "stronger": "stronger labeler"}


def _labels(runs: Iterable[RunFiles]) -> list[str]:
    by_labeler = [_LABELERS.get(run.labeler, run.name) for run in runs]
    if len(set(by_labeler)) == len(by_labeler):
        return by_labeler
    return [f"{run.name} ({kind})" if kind != run.name else kind for run, kind in zip(runs, by_labeler, strict=True)]
