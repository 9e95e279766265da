"""Commands that look at runs: status, report, export."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from rlaifv.adapters.orchestrator_client import RoundState, RunState, TrainingState
from rlaifv.adapters.preferences import PreferenceRow, read_preferences, write_preferences
from rlaifv.cli.run_view import duration, run_panel
from tests.unit.cli.running import rlaifv
from tests.unit.report.example_run import Example, write_example

PUBLIC = [
    "ds_name", "image", "question", "chosen", "rejected", "origin_dataset", "origin_split", "idx", "image_path",
]  # fmt: skip


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    example = Example(answers=3, errors=(0.2, 0.1, 0.1), promoted=(True, True, False), training=False)
    folder = write_example(tmp_path, example)
    picture = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(picture, "PNG")
    for index in (1, 2):
        rows = [
            PreferenceRow(
                ds_name="example", image=picture.getvalue(), question="What?", chosen=f"good {n}", rejected="bad",
                pair_id=f"{index}{n}", iteration=index,
            )
            for n in range(3)
        ]  # fmt: skip
        write_preferences(folder / "iterations" / str(index) / "pairs.parquet", rows)
    return folder


def test_status_reads_folders_where_no_orchestrator_is(run_folder: Path) -> None:
    ran = rlaifv("status", "--runs", run_folder.parent, "--json")
    [run] = ran.json["runs"]
    assert (run["name"], run["phase"], len(run["rounds"])) == ("example", "done", 3)
    one = rlaifv("status", "example", "--runs", run_folder.parent, "--json").json
    assert one == run
    assert "example" in rlaifv("status", "--runs", run_folder.parent).out
    assert "no runs in" in rlaifv("status", "--runs", run_folder.parent / "none").out


def test_a_damaged_summary_is_named(run_folder: Path) -> None:
    (run_folder / "summary.json").write_text("{")
    ran = rlaifv("status", "example", "--runs", run_folder.parent)
    assert ran.code == 1
    assert "summary.json" in ran.err


def test_export_joins_all_rounds_and_loads_with_datasets(run_folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.parquet"
    ran = rlaifv("export", "example", "--runs", run_folder.parent, "--out", target, "--json")
    assert ran.code == 0
    assert ran.json["pairs_by_round"] == {"1": 3, "2": 3}
    rows = list(read_preferences(target))
    assert [row.pair_id for row in rows] == ["10", "11", "12", "20", "21", "22"]
    assert [row.idx for row in rows] == ["0", "1", "2", "3", "4", "5"]
    import datasets

    loaded = datasets.Dataset.from_parquet(str(target), cache_dir=str(tmp_path / "cache"))
    assert loaded.column_names[:9] == PUBLIC
    assert loaded[0]["image"].size == (8, 8)
    assert loaded[5]["chosen"] == "good 2"


def test_export_does_not_overwrite_unless_told(run_folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.parquet"
    target.write_text("mine")
    arguments = ("export", "example", "--runs", run_folder.parent, "--out", target)
    assert rlaifv(*arguments).code == 2
    assert target.read_text() == "mine"
    assert rlaifv(*arguments, "--force").code == 0
    assert not list(tmp_path.glob(".*.part"))


def test_report_is_written_and_disagreement_fails(run_folder: Path) -> None:
    ran = rlaifv("report", "example", "--runs", run_folder.parent, "--json")
    assert ran.code == 0
    assert Path(ran.json["report"]).read_text("utf-8").startswith("<!DOCTYPE html>")
    summary = run_folder / "summary.json"
    summary.write_text(summary.read_text().replace('"n": 3', '"n": 4'))
    again = rlaifv("report", run_folder, "--runs", run_folder.parent)
    assert again.code == 1
    assert "does not agree" in again.err


STATE = RunState(
    name="r", phase="running", message="", iteration=1, iterations=4, stage="training", stage_done=3, stage_total=9,
    wall_s=75.0, folder="", policy_version="", dropped={"no_pair": 2},
    rounds=(RoundState(index=0, promoted=True, pairs=0, dropped={}, response_hallucination=0.5, coverage=0.9, mean_words=12),),
    training=TrainingState(loss=0.5, reward_margin=0.25, accuracy=0.75, pairs_per_s=9.0),
)  # fmt: skip


def shown(state: RunState) -> str:
    from rich.console import Console

    console = Console(file=io.StringIO(), width=120)
    console.print(run_panel(state))
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_the_live_view_shows_stage_figures_and_rounds() -> None:
    text = shown(STATE)
    for part in ("round 1 of 4", "3 of 9", "loss 0.5000", "margin +0.250", "50.0 %", "90.0 %", "12.0", "no_pair 2"):
        assert part in text
    assert "collecting" not in shown(replace(STATE, iteration=0, stage="evaluating", rounds=(), training=None))


def test_durations() -> None:
    assert [duration(s) for s in (4.4, 75, 3700)] == ["4 s", "1 min 15 s", "1 h 1 min"]
