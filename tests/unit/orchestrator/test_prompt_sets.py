"""Prompt sets: what they must hold, that they must be disjoint, and that every iteration takes new prompts."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rlaifv.adapters.runs.prompt_rows import has_large_groups
from rlaifv.adapters.runs.prompt_sets import check_disjoint, iteration_prompts, prompt_order, read_prompt_set
from rlaifv.adapters.runs.reading import parse_run_file
from rlaifv.core.errors import DataLoss, InvalidInput, NotFound
from services.orchestrator.context import RunPrompts
from tests.unit.orchestrator.scripted_world import picture, run_yaml, write_prompts, write_world


def write(path: Path, **columns: Any) -> Path:
    """A one-row set; `columns` replace its values, None leaves a column out."""
    rows = {"prompt_id": ["a"], "image": [{"bytes": picture(1), "path": None}], "prompt": ["What is there?"]} | columns
    pq.write_table(pa.table({name: values for name, values in rows.items() if values is not None}), path)
    return path


def test_prompts_come_with_their_pictures_in_the_order_asked(tmp_path: Path) -> None:
    write_prompts(tmp_path / "set.parquet", 0, 40)
    prompts = read_prompt_set(tmp_path / "set.parquet", "prompts.train")
    found = prompts.prompts(["p0039", "p0000", "p0017"])
    assert [prompt.id for prompt in found] == ["p0039", "p0000", "p0017"]
    assert [prompt.image.data for prompt in found] == [picture(39), picture(0), picture(17)]
    with pytest.raises(NotFound, match="p9999"):
        prompts.prompts(["p9999"])


def test_pictures_may_be_plain_bytes_or_files_beside_the_set(tmp_path: Path) -> None:
    (tmp_path / "one.png").write_bytes(picture(1))
    plain = read_prompt_set(write(tmp_path / "plain.parquet", image=[picture(1)]), "prompts.train")
    named = read_prompt_set(
        write(tmp_path / "named.parquet", image=[{"bytes": None, "path": "one.png"}]), "prompts.train"
    )
    assert plain.prompts(["a"]) == named.prompts(["a"])


def test_a_file_of_one_large_row_group_is_laid_out_once_and_leaves_nothing(tmp_path: Path) -> None:
    """pyarrow's default row group is a million rows: every shard would read the whole file."""
    (tmp_path / "one.png").write_bytes(picture(1))
    large = [{"bytes": random.Random(number).randbytes(3 << 20), "path": None} for number in range(4)]
    columns = {
        "prompt_id": list("abcde"),
        "image": [*large, {"bytes": None, "path": "one.png"}],
        "prompt": list("äbcde"),
    }
    path = write(tmp_path / "set.parquet", **columns)
    assert has_large_groups(pq.read_metadata(path))
    room = tmp_path / "room"
    by_group = read_prompt_set(path, "prompts.train")
    spooled = read_prompt_set(path, "prompts.train", spool=room)
    ids = ["e", "a", "d", "b"]
    assert spooled.prompts(ids) == by_group.prompts(ids)
    path.unlink()
    assert [prompt.text for prompt in spooled.prompts(["a", "c"])] == ["ä", "c"]
    assert list(room.iterdir()) == []


def test_a_file_of_small_row_groups_is_read_where_it_is(tmp_path: Path) -> None:
    write_prompts(tmp_path / "set.parquet", 0, 40)
    prompts = read_prompt_set(tmp_path / "set.parquet", "prompts.train", spool=tmp_path / "room")
    assert not (tmp_path / "room").exists()
    everything = prompts.prompts(prompts.ids)
    assert [prompt.image.data for prompt in everything] == [picture(number) for number in range(40)]
    assert [prompt.image.sha256 for prompt in everything] == list(prompts.digests())


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"prompt": None}, "has no column 'prompt'"),
        ({"prompt_id": [""]}, "must be text of 1 to 256 characters"),
        ({"prompt_id": [7]}, "must be text of 1 to 256 characters"),
        ({"prompt": [None]}, "must be text"),
        ({"image": [{"bytes": b"", "path": None}]}, "needs bytes or the path of a file"),
        ({"image": [None]}, "must be bytes or a struct"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read_prompt_set(write(tmp_path / "set.parquet", **columns), "prompts.train")


def test_files_that_are_missing_empty_or_something_else_are_errors(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no such file"):
        read_prompt_set(tmp_path / "none.parquet", "prompts.train")
    (tmp_path / "text.parquet").write_text("hello")
    with pytest.raises(InvalidInput, match="not a Parquet file"):
        read_prompt_set(tmp_path / "text.parquet", "prompts.train")
    with pytest.raises(NotFound, match="cannot read"):
        read_prompt_set(write(tmp_path / "set.parquet", image=[{"bytes": None, "path": "gone.png"}]), "prompts.train")
    pq.write_table(pq.read_table(write(tmp_path / "set.parquet")).slice(0, 0), tmp_path / "empty.parquet")
    with pytest.raises(InvalidInput, match="holds no prompt"):
        read_prompt_set(tmp_path / "empty.parquet", "prompts.train")


def test_a_picture_that_changes_under_a_run_is_noticed(tmp_path: Path) -> None:
    prompts = read_prompt_set(write(tmp_path / "set.parquet"), "prompts.train")
    write(tmp_path / "set.parquet", image=[{"bytes": picture(2), "path": None}])
    with pytest.raises(DataLoss, match="changed while the run uses it"):
        prompts.prompts(["a"])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda folder: write_prompts(folder / "validation.parquet", 5, 3),
            "p0005.*this prompt id is in prompts.train too",
        ),
        (
            lambda folder: write_prompts(folder / "evaluation.parquet", 1002, 2, truth=True),
            "is in prompts.validation too",
        ),
        (
            lambda folder: write(folder / "validation.parquet", image=[{"bytes": picture(3), "path": None}]),
            r"image \(SHA-256\) is in prompts.train too",
        ),
    ],
)
def test_leaks_between_the_sets_are_refused(tmp_path: Path, spoil: Callable[[Path], object], message: str) -> None:
    write_world(tmp_path)
    spoil(tmp_path)
    with pytest.raises(InvalidInput, match=message):
        RunPrompts.read(parse_run_file(run_yaml(), tmp_path))


def test_a_training_set_that_is_too_small_is_refused(tmp_path: Path) -> None:
    write_world(tmp_path, train=23)
    with pytest.raises(InvalidInput, match=r"prompts.train = 23: .* = 24 new prompts are needed"):
        RunPrompts.read(parse_run_file(run_yaml(), tmp_path))


def test_slices_are_disjoint_seeded_and_free_of_the_files_order() -> None:
    ids = [f"p{number}" for number in range(50)]
    shuffled = random.Random(1).sample(ids, len(ids))
    order = prompt_order(ids, 3)
    assert prompt_order(shuffled, 3) == order != prompt_order(ids, 4)
    slices = [iteration_prompts(order, iteration, 10) for iteration in range(1, 6)]
    assert sorted(prompt_id for part in slices for prompt_id in part) == sorted(ids)
    with pytest.raises(InvalidInput, match="60 new prompts are needed"):
        iteration_prompts(order, 6, 10)


def test_disjoint_sets_pass(tmp_path: Path) -> None:
    write_world(tmp_path)
    names = ("train", "validation", "evaluation")
    check_disjoint({name: read_prompt_set(tmp_path / f"{name}.parquet", name) for name in names})
