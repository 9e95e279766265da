"""bench/results.json: what was measured, one record a comparison; `python -m bench.results` shows it as a Markdown table.

`--into README.md` puts the table between the two marks that the file has for it.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.machine import description

RESULTS = Path(__file__).parent / "results.json"
BEGIN, END = "<!-- bench/results.json begins -->", "<!-- bench/results.json ends -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two sides of the same work. `ratio` says how many times better ours is, whichever way `unit` counts.

    `equal`: both sides found the same, within the limit that the bench states; `max_abs_diff` is the largest difference seen.
    Peaks are MiB on top of what the process held before the work; None where they were not measured. `details` holds what a
    single bench adds: spread, CPU time, FLOP needed, share of the machine's matrix rate.
    """

    name: str
    baseline: str
    baseline_value: float
    ours_value: float
    unit: str
    ratio: float
    equal: bool
    max_abs_diff: float
    peak_mib_baseline: float | None = None
    peak_mib_ours: float | None = None
    dtype: str
    threads: int
    seed: int
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, str]:
        return self.name, self.baseline, self.dtype


def write(found: Iterable[Comparison], path: Path = RESULTS) -> None:
    """Add to the file; an earlier record with the same name, baseline and dtype is replaced."""
    records = {one.key: one for one in read(path)}
    records |= {one.key: one for one in found}
    lines = [json.dumps({name: _plain(value) for name, value in asdict(one).items()}) for one in records.values()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n")


def read(path: Path = RESULTS) -> list[Comparison]:
    """All records; none where there is no file."""
    return [Comparison(**record) for record in json.loads(path.read_text())] if path.is_file() else []


def table(found: Iterable[Comparison]) -> str:
    """Markdown, one row a comparison."""
    rows = [
        "| what | against | baseline | ours | unit | ratio | equal (greatest difference) | peak MiB | dtype, threads |",
        "|---|---|---:|---:|---|---:|---|---|---|",
    ]
    for one in found:
        peaks = (one.peak_mib_baseline, one.peak_mib_ours)
        shown = " → ".join(f"{peak:,.0f}" for peak in peaks if peak is not None) if None not in peaks else ""
        rows.append(
            f"| {one.name} | {one.baseline} | {_number(one.baseline_value)} | {_number(one.ours_value)} | {one.unit} | "
            f"**{_number(one.ratio)}x** | {'yes' if one.equal else 'NO'} ({one.max_abs_diff:.1g}) | {shown} | "
            f"{one.dtype}, {one.threads} |"
        )
    return "\n".join(rows)


def add_arguments(parser: argparse.ArgumentParser, *, rounds: int = 5) -> None:
    """The arguments that all benches take."""
    parser.add_argument("--seed", type=int, default=0, help="of weights, pictures, texts and orders")
    parser.add_argument("--rounds", type=int, default=rounds, help="interleaved repetitions after one warm-up")
    parser.add_argument("--threads", type=int, default=1, help="torch's CPU threads, for all sides alike")
    parser.add_argument("--results", type=Path, help="add the records to this JSON file")


def conclude(found: Iterable[Comparison], path: Path | None) -> int:
    """Print the table and keep the records where a path was named; the exit code: 1 if a comparison is not equal."""
    shown = list(found)
    sys.stdout.write(table(shown) + "\n")
    if path is not None:
        machine = {"machine": description()}
        write([replace(one, details=one.details | machine) for one in shown], path)
    return 0 if all(one.equal for one in shown) else 1


def _number(value: float) -> str:
    if value == 0 or not math.isfinite(value):
        return str(value)
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}"


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, list) else value


def page(found: Sequence[Comparison]) -> str:
    """The table, and below it the machines that the records were measured on."""
    machines = dict.fromkeys(str(one.details["machine"]) for one in found if "machine" in one.details)
    return f"{table(found)}\n\nMeasured on: {'; '.join(machines)}.\n"


def placed(text: str, found: Sequence[Comparison]) -> str:
    """A document with the page between its marks. Raises ValueError where it has none."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document lacks the lines {BEGIN} and {END}")
    return f"{before}{begin}\n{page(found)}{end}{after}"


def main() -> int:
    """Print the file as a table, with the machine it was measured on."""
    parser = argparse.ArgumentParser(description="Show bench/results.json as a Markdown table.")
    parser.add_argument("file", type=Path, nargs="?", default=RESULTS)
    parser.add_argument("--into", type=Path, help="put it into this document, between the marks")
    arguments = parser.parse_args()
    found = read(arguments.file)
    if arguments.into:
        arguments.into.write_text(placed(arguments.into.read_text("utf-8"), found), "utf-8")
    else:
        sys.stdout.write(page(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
