"""Prompt sets: Parquet files with prompt_id, image and prompt; evaluation sets also `truth` (JSON).

An image is a struct{bytes, path}, as in the public data set, or plain bytes. A path without bytes names a file beside the set.

A set keeps ids and image digests in memory and reads pictures when they are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rlaifv.core.candidates import Prompt
from rlaifv.core.errors import DataLoss, InvalidInput, NotFound
from rlaifv.core.images import Image
from rlaifv.core.seeds import derive_seed

_COLUMNS = ("prompt_id", "image", "prompt")


@dataclass(frozen=True, kw_only=True)
class PromptSet:
    """The prompts of one file, in its order. `digests` holds each prompt's image digest, `truths` its scene as JSON."""

    path: Path
    ids: tuple[str, ...]
    digests: Mapping[str, str] = field(repr=False)
    truths: Mapping[str, str] = field(repr=False)
    _rows: Mapping[str, tuple[int, int]] = field(repr=False)

    def prompts(self, ids: Sequence[str]) -> list[Prompt]:
        """The prompts with these ids, in that order, pictures included. Raises NotFound, or DataLoss if the file changed."""
        missing = [prompt_id for prompt_id in ids if prompt_id not in self._rows]
        if missing:
            raise NotFound(f"{self.path}: there is no prompt with the id {missing[0]!r}")
        groups = sorted({self._rows[prompt_id][0] for prompt_id in ids})
        found: dict[str, Prompt] = {}
        with _open(self.path) as file:
            for group in groups:
                table = file.read_row_group(group, columns=list(_COLUMNS))
                rows = {pid: row for pid in ids for g, row in [self._rows[pid]] if g == group}
                for prompt_id, row in rows.items():
                    found[prompt_id] = self._prompt(prompt_id, table.slice(row, 1).to_pylist()[0])
        return [found[prompt_id] for prompt_id in ids]

    def _prompt(self, prompt_id: str, row: Mapping[str, Any]) -> Prompt:
        image = Image.of(_image_bytes(row["image"], self.path, prompt_id))
        if row["prompt_id"] != prompt_id or image.sha256 != self.digests[prompt_id]:
            raise DataLoss(f"{self.path}: the prompt {prompt_id!r} changed while the run uses it; restore the file")
        return Prompt(id=prompt_id, image=image, text=row["prompt"])


def read_prompt_set(path: Path, name: str, *, with_truth: bool = False) -> PromptSet:
    """Read and check the file; `name` is the run file's field, for messages. Raises NotFound and InvalidInput."""
    columns = [*_COLUMNS, "truth"] if with_truth else list(_COLUMNS)
    digests: dict[str, str] = {}
    truths: dict[str, str] = {}
    rows: dict[str, tuple[int, int]] = {}
    with _open(path) as file:
        lacking = [column for column in columns if column not in file.schema_arrow.names]
        if lacking:
            raise InvalidInput.field(name, str(path), f"has no column {lacking[0]!r}; it needs {', '.join(columns)}")
        for group in range(file.num_row_groups):
            for index, row in enumerate(file.read_row_group(group, columns=columns).to_pylist()):
                prompt_id = _checked_id(row, name, rows)
                digests[prompt_id] = Image.of(_image_bytes(row["image"], path, prompt_id)).sha256
                rows[prompt_id] = (group, index)
                if with_truth:
                    truths[prompt_id] = row["truth"]
    if not rows:
        raise InvalidInput.field(name, str(path), "holds no prompt")
    return PromptSet(path=path, ids=tuple(rows), digests=digests, truths=truths, _rows=rows)


def check_disjoint(sets: Mapping[str, PromptSet]) -> None:
    """Raises InvalidInput if two of the named sets share a prompt id or a picture: figures would be learnt by heart."""
    names = list(sets)
    for index, left in enumerate(names):
        for right in names[index + 1 :]:
            _check_apart(left, sets[left].ids, right, sets[right].ids, "prompt id")
            _check_apart(left, sets[left].digests.values(), right, sets[right].digests.values(), "image (SHA-256)")


def prompt_order(ids: Iterable[str], run_seed: int) -> tuple[str, ...]:
    """All ids in the order in which a run takes them: it depends on ids and seed, not on the order of the file."""
    return tuple(sorted(ids, key=lambda prompt_id: (derive_seed(run_seed, "prompt order", prompt_id), prompt_id)))


def iteration_prompts(order: Sequence[str], iteration: int, count: int) -> Sequence[str]:
    """The `count` prompt ids of iteration 1, 2 …: the order cut in slices, so no prompt comes twice in a run.

    Raises InvalidInput if there are too few.
    """
    if iteration * count > len(order):
        raise InvalidInput.field(
            "prompts.train",
            len(order),
            f"iterations * prompts_per_iteration = {iteration * count} new prompts are needed",
        )
    return order[(iteration - 1) * count : iteration * count]


def _check_apart(left: str, ours: Iterable[str], right: str, theirs: Iterable[str], what: str) -> None:
    shared = sorted(set(ours) & set(theirs))
    if shared:
        raise InvalidInput.field(
            f"prompts.{right}",
            shared[0],
            f"this {what} is in prompts.{left} too ({len(shared)} shared in all); the sets must be disjoint",
        )


def _checked_id(row: Mapping[str, Any], name: str, known: Mapping[str, object]) -> str:
    prompt_id = row["prompt_id"]
    if not isinstance(prompt_id, str) or not 1 <= len(prompt_id) <= 256:
        raise InvalidInput.field(f"{name}.prompt_id", prompt_id, "must be text of 1 to 256 characters")
    if prompt_id in known:
        raise InvalidInput.field(f"{name}.prompt_id", prompt_id, "occurs twice in the file; ids must be unique")
    if not isinstance(row["prompt"], str):
        raise InvalidInput.field(f"{name}.prompt", row["prompt"], f"of {prompt_id!r} must be text")
    return prompt_id


def _image_bytes(image: object, path: Path, prompt_id: str) -> bytes:
    """The picture's bytes, from the row or from the file it names beside the Parquet file."""
    if isinstance(image, bytes) and image:
        return image
    if not isinstance(image, dict):
        raise InvalidInput.field(
            f"{path}: image of {prompt_id!r}", image, "must be bytes or a struct of bytes and path"
        )
    data, name = image.get("bytes"), image.get("path")
    if isinstance(data, bytes) and data:
        return data
    if not isinstance(name, str) or not name:
        raise InvalidInput.field(f"{path}: image of {prompt_id!r}", data, "needs bytes or the path of a file")
    try:
        return (path.parent / name).read_bytes()
    except OSError as exc:
        raise NotFound(f"{path}: image of {prompt_id!r}: cannot read {path.parent / name} ({exc.strerror})") from exc


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except FileNotFoundError as exc:
        raise NotFound(f"{path}: there is no such file") from exc
    except (pa.ArrowInvalid, OSError) as exc:
        raise InvalidInput(f"{path}: not a Parquet file ({exc})") from exc
