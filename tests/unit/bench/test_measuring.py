"""Interleaved timing and the file of records, with sides whose time and results are known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from bench.machine import PeakMemory, matrix_rate
from bench.results import RESULTS, Comparison, placed, read, table, write
from bench.timing import interleave, speedup


def test_sides_take_turns_and_every_other_round_goes_backwards() -> None:
    turns: list[str] = []

    def side(name: str) -> str:
        turns.append(name)
        return name.upper()

    timed = interleave({"a": lambda: side("a"), "b": lambda: side("b")}, rounds=3, warm_up=1)
    assert "".join(turns) == "ba" + "ab" + "ba" + "ab"
    assert {name: one.found for name, one in timed.items()} == {"a": "A", "b": "B"}
    assert all(len(one.wall_s) == len(one.cpu_s) == 3 for one in timed.values())


def test_a_ratio_is_the_median_of_single_rounds() -> None:
    ratio = speedup([4.0, 40.0, 6.0], [2.0, 4.0, 2.0])
    assert (ratio.median, ratio.low, ratio.high) == (3.0, 2.0, 10.0)


def record(name: str, ratio: float) -> Comparison:
    return Comparison(
        name=name,
        baseline="theirs",
        baseline_value=1.0,
        ours_value=ratio,
        unit="claims/s",
        ratio=ratio,
        equal=True,
        max_abs_diff=1e-6,
        dtype="fp32",
        threads=1,
        seed=0,
    )


def test_a_record_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write([record("a", 2.0), record("b", 3.0)], path)
    write([record("a", 4.0)], path)
    assert [(one.name, one.ratio) for one in read(path)] == [("a", 4.0), ("b", 3.0)]
    assert {"name", "baseline", "ratio", "equal", "peak_mib_ours", "seed"} <= json.loads(path.read_text())[0].keys()
    assert "**4.00x**" in table(read(path))


def test_the_peak_is_what_a_block_held_at_most() -> None:
    with PeakMemory() as peak:
        held = torch.ones(16 * 2**20)  # 64 MiB
        del held
    assert peak.mib == pytest.approx(64, abs=8)


def test_the_rate_is_that_of_a_matrix_product() -> None:
    assert matrix_rate(torch.float32, size=256, repetitions=3) > 1e8


def test_the_readme_shows_what_was_measured() -> None:
    readme = (RESULTS.parent.parent / "README.md").read_text("utf-8")
    assert placed(readme, read()) == readme, "run python -m bench.results --into README.md"


def test_a_document_without_marks_is_left_as_it_is() -> None:
    with pytest.raises(ValueError, match="lacks the lines"):
        placed("# Nothing here", [])
