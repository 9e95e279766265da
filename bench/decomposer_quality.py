"""How well the grammar decomposer finds the claims of hand-written answers: `python -m bench.decomposer_quality`.

A claim counts as found only if type and text are exactly as expected. The held-out answers were never used to improve the
grammar; their figures are the ones to quote.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from rlaifv.adapters.grammar import GrammarDecomposer
from rlaifv.core.claims import ClaimType

CASES = Path(__file__).resolve().parent.parent / "tests" / "data" / "claims"
SETS = ("core", "photos", "held_out")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An answer and the claims a person finds in it, as (type, text)."""

    answer: str
    claims: frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Claims found and expected, found but not expected, expected but not found."""

    right: int = 0
    wrong: int = 0
    missed: int = 0

    @property
    def precision(self) -> float:
        """Share of the found claims that were expected; 1 if none was found."""
        return self.right / (self.right + self.wrong) if self.right + self.wrong else 1.0

    @property
    def recall(self) -> float:
        """Share of the expected claims that were found; 1 if none was expected."""
        return self.right / (self.right + self.missed) if self.right + self.missed else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def load(name: str) -> list[Case]:
    """The cases of one set."""
    lines = (CASES / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [Case(answer=r["answer"], claims=frozenset((c["type"], c["text"]) for c in r["claims"])) for r in rows]


def found_claims(decomposer: GrammarDecomposer, cases: Sequence[Case]) -> list[frozenset[tuple[str, str]]]:
    """What the decomposer finds in each case."""
    answers = decomposer.decompose_many([c.answer for c in cases])
    return [frozenset((c.type.value, c.text) for c in a.claims) for a in answers]


def measure(decomposer: GrammarDecomposer, cases: Sequence[Case]) -> dict[str, Tally]:
    """A tally for every claim type that occurs, and for "all"."""
    right: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    for case, found in zip(cases, found_claims(decomposer, cases), strict=True):
        right.update(_types(found & case.claims))
        wrong.update(_types(found - case.claims))
        missed.update(_types(case.claims - found))
    names = [t.value for t in ClaimType if right[t.value] + wrong[t.value] + missed[t.value]]
    return {n: Tally(right=right[n], wrong=wrong[n], missed=missed[n]) for n in [*names, "all"]}


def _types(claims: Iterable[tuple[str, str]]) -> list[str]:
    kinds = [kind for kind, _ in claims]
    return kinds + ["all"] * len(kinds)


def _table(name: str, cases: Sequence[Case], tallies: dict[str, Tally]) -> Table:
    table = Table(title=f"{name}: {len(cases)} answers")
    for column in ("claims", "expected", "found", "precision", "recall", "F1"):
        table.add_column(column, justify="left" if column == "claims" else "right")
    for kind, tally in tallies.items():
        figures = (f"{tally.precision:.3f}", f"{tally.recall:.3f}", f"{tally.f1:.3f}")
        counts = (str(tally.right + tally.missed), str(tally.right + tally.wrong))
        table.add_row(kind, *counts, *figures, style="bold" if kind == "all" else "")
    return table


def _record(tallies: dict[str, Tally]) -> dict[str, dict[str, float]]:
    return {
        kind: {
            "expected": t.right + t.missed,
            "found": t.right + t.wrong,
            "precision": round(t.precision, 4),
            "recall": round(t.recall, 4),
            "f1": round(t.f1, 4),
        }
        for kind, t in tallies.items()
    }


def _differences(console: Console, decomposer: GrammarDecomposer, cases: Sequence[Case]) -> None:
    for case, found in zip(cases, found_claims(decomposer, cases), strict=True):
        if found != case.claims:
            console.print(case.answer, style="bold", markup=False)
            for sign, claims in (("+", found - case.claims), ("-", case.claims - found)):
                for kind, text in sorted(claims):
                    console.print(f"  {sign} {kind}: {text}", style="red" if sign == "+" else "yellow", markup=False)


def _answers_per_second(decomposer: GrammarDecomposer, cases: Sequence[Case]) -> float:
    """Without remembered sentences: every answer is made distinct."""
    answers = [f"{c.answer} There are {n} boats." for n, c in enumerate([*cases, *cases], start=2)]
    started = time.perf_counter()
    decomposer.decompose_many(answers)
    return len(answers) / (time.perf_counter() - started)


def main() -> None:
    """Print precision, recall and F1 by claim type for every set."""
    parser = argparse.ArgumentParser(
        description="Precision and recall of the grammar decomposer on hand-written answers."
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.add_argument("--differences", choices=SETS, help="also list what was found or missed in error in one set")
    arguments = parser.parse_args()
    console = Console()
    decomposer = GrammarDecomposer()
    speed = _answers_per_second(GrammarDecomposer(remembered=1), load("photos"))
    results = {name: measure(decomposer, load(name)) for name in SETS}
    if arguments.json:
        record = {"version": decomposer.version, "answers_per_s": round(speed, 1)}
        sets = {name: {"answers": len(load(name)), "claims": _record(results[name])} for name in SETS}
        sys.stdout.write(json.dumps({**record, "sets": sets}, indent=2) + "\n")
        return
    for name in SETS:
        console.print(_table(name, load(name), results[name]))
    console.print(f"{speed:.0f} answers/s, nothing remembered; {decomposer.version}")
    if arguments.differences:
        _differences(console, decomposer, load(arguments.differences))


if __name__ == "__main__":
    main()
