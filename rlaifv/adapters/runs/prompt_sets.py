"""Prompt sets: Parquet files with prompt_id, image and prompt; evaluation sets also `truth` (JSON).

An image is a struct{bytes, path}, as in the public data set, or plain bytes. A path without bytes names a file beside the set.

A set keeps ids and image digests in memory and reads pictures when they are asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rlaifv.adapters.files import storage_errors
from rlaifv.adapters.runs.prompt_rows import (
    COLUMNS,
    GroupedRows,
    PromptRows,
    SpooledRows,
    all_rows,
    has_large_groups,
)
from rlaifv.core.candidates import Prompt
from rlaifv.core.errors import DataLoss, InvalidInput, NotFound
from rlaifv.core.images import Image
from rlaifv.core.seeds import derive_seed

_DIGEST_BYTES = 32
_READ_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class PromptSet:
    """The prompts of one file, in its order. `truths` holds each prompt's scene as JSON."""

    path: Path
    ids: tuple[str, ...]
    truths: Mapping[str, str] = field(repr=False)
    _digests: bytes = field(repr=False)
    _numbers: Mapping[str, int] = field(repr=False)
    _rows: PromptRows = field(repr=False)

    def prompts(self, ids: Sequence[str]) -> list[Prompt]:
        """The prompts with these ids, in that order, pictures included. Raises NotFound, or DataLoss if the file changed."""
        missing = [prompt_id for prompt_id in ids if prompt_id not in self._numbers]
        if missing:
            raise NotFound(f"{self.path}: there is no prompt with the id {missing[0]!r}")
        found: dict[str, Prompt] = {}
        for number, row in self._rows.read([self._numbers[prompt_id] for prompt_id in ids]):
            found[self.ids[number]] = self._prompt(number, row)
        return [found[prompt_id] for prompt_id in ids]

    def digests(self) -> Iterator[str]:
        """The SHA-256 of every prompt's image."""
        return map(self._digest, range(len(self.ids)))

    def _digest(self, number: int) -> str:
        return self._digests[number * _DIGEST_BYTES : (number + 1) * _DIGEST_BYTES].hex()

    def _prompt(self, number: int, row: Mapping[str, Any]) -> Prompt:
        prompt_id = self.ids[number]
        image = Image.of(_image_bytes(row["image"], self.path, prompt_id))
        if row.get("prompt_id", prompt_id) != prompt_id or image.sha256 != self._digest(number):
            raise DataLoss(f"{self.path}: the prompt {prompt_id!r} changed while the run uses it; restore the file")
        return Prompt(id=prompt_id, image=image, text=row["prompt"])


def read_prompt_set(path: Path, name: str, *, with_truth: bool = False, spool: Path | None = None) -> PromptSet:
    """Read and check the file; `name` is the run file's field, for messages. Raises NotFound, InvalidInput and StorageFull.

    `spool` is a folder with room for the pictures of a file whose row groups are large; without one, prompts of such a file come
    slowly.
    """
    columns = [*COLUMNS, "truth"] if with_truth else list(COLUMNS)
    numbers: dict[str, int] = {}
    truths: dict[str, str] = {}
    digests = bytearray()
    with _open(path) as file:
        lacking = [column for column in columns if column not in file.schema_arrow.names]
        if lacking:
            raise InvalidInput.field(name, str(path), f"has no column {lacking[0]!r}; it needs {', '.join(columns)}")
        spooled = _spool(spool) if spool is not None and has_large_groups(file.metadata) else None
        for row in all_rows(file, columns):
            prompt_id = _checked_id(row, name, numbers)
            digests += bytes.fromhex(Image.of(_image_bytes(row["image"], path, prompt_id)).sha256)
            numbers[prompt_id] = len(numbers)
            if with_truth:
                truths[prompt_id] = row["truth"]
            if spooled is not None:
                with storage_errors(path):
                    spooled.add(row)
        rows = spooled or GroupedRows(path, file.metadata)
    if not numbers:
        raise InvalidInput.field(name, str(path), "holds no prompt")
    return PromptSet(
        path=path, ids=tuple(numbers), truths=truths, _digests=bytes(digests), _numbers=numbers, _rows=rows
    )


def check_disjoint(sets: Mapping[str, PromptSet]) -> None:
    """Raises InvalidInput if two of the named sets share a prompt id or a picture: figures would be learnt by heart."""
    names = list(sets)
    for index, left in enumerate(names):
        for right in names[index + 1 :]:
            few, many = sorted((sets[left], sets[right]), key=lambda one: len(one.ids))
            _refuse_shared(left, right, set(few.ids).intersection(many.ids), "prompt id")
            _refuse_shared(left, right, set(few.digests()).intersection(many.digests()), "image (SHA-256)")


def _spool(folder: Path) -> SpooledRows:
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        return SpooledRows(folder)


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


def _refuse_shared(left: str, right: str, shared: Collection[str], what: str) -> None:
    if shared:
        raise InvalidInput.field(
            f"prompts.{right}",
            min(shared),
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
        # Page by page: otherwise a column of a row group, which may be that of all pictures, is read at once.
        return pq.ParquetFile(path, buffer_size=_READ_BYTES, pre_buffer=False)
    except FileNotFoundError as exc:
        raise NotFound(f"{path}: there is no such file") from exc
    except (pa.ArrowInvalid, OSError) as exc:
        raise InvalidInput(f"{path}: not a Parquet file ({exc})") from exc
