"""The page: its numbers, its form, hostile content, and runs that lack something."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pyarrow.parquet as pq
import pytest

from rlaifv.adapters.report import Report, write_report
from rlaifv.adapters.report.drawing import svg
from rlaifv.adapters.report.figures import recompute
from rlaifv.adapters.report.gallery import data_uri, truth_in_words
from rlaifv.adapters.report.headline import headline
from rlaifv.adapters.report.page import SECTIONS, draw, render
from rlaifv.adapters.report.results import results
from rlaifv.adapters.report.run_files import read_run
from rlaifv.core.errors import InvalidInput, StorageFull
from tests.unit.report.example_run import Example, write_evaluation, write_example

STRONGER = Example(name="stronger", answers=40)
SELF = Example(name="self", labeler="self", answers=40, errors=(0.16, 0.15), promoted=(True, False))


def parsed(text: str) -> ElementTree.Element:
    """The page as XML: every element closed, every entity known, every attribute quoted, no character that XML forbids."""
    return ElementTree.fromstring(text.replace("<!DOCTYPE html>", ""))


def read_page(report: Report) -> tuple[str, ElementTree.Element]:
    text = report.path.read_text("utf-8")
    return text, parsed(text)


def page_of(folder: Path, plots: bool = False) -> tuple[str, ElementTree.Element]:
    """The page of one run without writing files; drawing takes most of the time."""
    runs = results([read_run(folder)])
    text = render(runs, draw(runs) if plots else {section: [] for section in SECTIONS})
    return text, parsed(text)


def cells(page: ElementTree.Element) -> list[str]:
    return ["".join(cell.itertext()).strip() for cell in page.iter("{http://www.w3.org/1999/xhtml}td")]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], Report]:
    home = tmp_path_factory.mktemp("runs")
    folders = [write_example(home, STRONGER), write_example(home, SELF)]
    return folders, write_report(folders, home / "report")


def test_numbers_in_the_page_are_the_recomputed_ones(both: tuple[list[Path], Report]) -> None:
    folders, report = both
    _, page = read_page(report)
    shown = cells(page)
    for folder in folders:
        for round_ in read_run(folder).rounds:
            figures = recompute(round_.answers)
            assert figures is not None
            for value in (figures.response_hallucination, figures.mention_hallucination, figures.coverage):
                assert any(cell.startswith(f"{value * 100:.1f}\N{NO-BREAK SPACE}%") for cell in shown), value
            assert any(cell.startswith(f"{figures.mean_words:.1f}") for cell in shown)
    assert report.agrees
    first = recompute(read_run(folders[0]).rounds[0].answers)
    assert first is not None
    assert f"{first.response_hallucination * 100:.1f}\N{NO-BREAK SPACE}%" in report.headline[0]


def test_the_page_stands_alone(both: tuple[list[Path], Report]) -> None:
    _, report = both
    text, page = read_page(report)
    assert "<script" not in text
    for element in page.iter():
        for name, value in element.attrib.items():
            if name in ("src", "href") or name.endswith("}href"):
                assert value.startswith(("data:", "#")), value
    assert "url(http" not in text
    assert "@import" not in text
    ids = [element.attrib["id"] for element in page.iter() if "id" in element.attrib]
    assert len(ids) == len(set(ids))


def test_every_plot_is_also_a_png(both: tuple[list[Path], Report]) -> None:
    _, report = both
    assert {"response_hallucination", "reliability", "training_loss", "timeline_2"} <= {p.stem for p in report.plots}
    for plot in report.plots:
        head = plot.read_bytes()[:24]
        assert head[:8] == b"\x89PNG\r\n\x1a\n"
        assert min(struct.unpack(">II", head[16:24])) > 300


def test_aims_are_judged_honestly(both: tuple[list[Path], Report]) -> None:
    _, report = both
    text, _ = read_page(report)
    assert "did not change beyond chance" in report.headline[1]
    assert "Aims missed: intervals apart" in report.headline[1]
    assert "no round was promoted" in text


def test_a_summary_that_disagrees_is_announced(tmp_path: Path) -> None:
    folder = write_example(tmp_path, Example(answers=10))
    summary = json.loads((folder / "summary.json").read_text())
    summary["rounds"][2]["eval"]["response_hallucination"] -= 0.1
    (folder / "summary.json").write_text(json.dumps(summary))
    text, page = page_of(folder)
    assert "summary.json does not agree" in text
    assert "response_hallucination" in cells(page)


HOSTILE = [
    "<script>alert(1)</script> & \"quotes\" 'too'",
    "\N{MATHEMATICAL BOLD CAPITAL A}\N{DOG FACE} two dogs",
    "\x00\x1b[31m control \ufffe",
    "</style><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }} {% raw %}",
]


def test_hostile_answers_stay_text(tmp_path: Path) -> None:
    folder = write_example(tmp_path, Example(answers=5))
    for index in range(5):
        rows = pq.read_table(folder / "iterations" / str(index) / "evaluation.parquet").to_pylist()
        for row, text in zip(rows, HOSTILE, strict=True):
            claim = {**row["claims"][0], "start": 0, "end": min(8, len(text)), "text": text, "truth": False}
            row.update(answer=text, claims=[claim], prompt=text, image={"bytes": b"no picture", "path": text})
        write_evaluation(folder, index, rows)
    text, page = page_of(folder)
    assert "<script" not in text
    assert "<img src=x" not in text
    marks = ["".join(mark.itertext()) for mark in page.iter("{http://www.w3.org/1999/xhtml}mark")]
    assert "\N{MATHEMATICAL BOLD CAPITAL A}\N{DOG FACE} two d" in marks
    assert "{{ 7 * 7" in marks


def without_training(folder: Path) -> None:
    for log in folder.glob("iterations/*/training.jsonl"):
        log.unlink()


def without_later_rounds(folder: Path) -> None:
    for index in range(1, 5):
        shutil.rmtree(folder / "iterations" / str(index))
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps({**summary, "phase": "running", "rounds": summary["rounds"][:1]}))


def without_evaluation(folder: Path) -> None:
    for path in folder.glob("iterations/*/evaluation.parquet"):
        path.unlink()


def without_summary(folder: Path) -> None:
    (folder / "summary.json").unlink()
    (folder / "timeline.jsonl").unlink()


def bare(folder: Path) -> None:
    shutil.rmtree(folder / "iterations")
    without_summary(folder)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (without_training, "hallucinating answers"),
        (without_later_rounds, "is not finished"),
        (without_evaluation, "nothing has been evaluated yet"),
        (without_summary, "is not finished"),
        (bare, "nothing has been evaluated yet"),
    ],
)
def test_runs_that_lack_something_are_reported(tmp_path: Path, damage: object, said: str) -> None:
    folder = write_example(tmp_path, Example(answers=6))
    assert callable(damage)
    damage(folder)
    text, _ = page_of(folder, plots=True)
    assert said in text


def test_the_same_run_gives_the_same_page(tmp_path: Path) -> None:
    folder = write_example(tmp_path, Example(answers=6, errors=(0.2, 0.1), training=False))
    assert page_of(folder)[0] == page_of(folder)[0]
    drawn = [draw(results([read_run(folder)]))["rounds"][0] for _ in range(2)]
    assert svg(drawn[0]) == svg(drawn[1])


def test_runs_of_one_labeler_are_told_apart(tmp_path: Path) -> None:
    folders: Sequence[Path] = [write_example(tmp_path, Example(name=name, answers=4)) for name in ("first", "second")]
    first, second = results([read_run(folder) for folder in folders])
    assert "first (stronger labeler)" in str(headline(first))
    assert "second (stronger labeler)" in str(headline(second))


def test_nothing_to_report_and_nowhere_to_write(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="at least one run"):
        write_report([], tmp_path)
    folder = write_example(tmp_path, Example(answers=3))
    (tmp_path / "file").write_text("in the way")
    for path in folder.glob("iterations/*"):
        shutil.rmtree(path)
    with pytest.raises(StorageFull, match="cannot be written"):
        write_report([folder], tmp_path / "file")


def test_pictures_and_truth_that_cannot_be_read_are_left_out() -> None:
    assert data_uri(b"") == ""
    assert data_uri(b"no picture") == ""
    assert truth_in_words("") == ""
    assert truth_in_words('{"objects": [{"count": 2, "colour": "red", "kind": "car"}]}').strip() == "2 × red car"
