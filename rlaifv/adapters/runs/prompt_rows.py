"""Rows of a prompt file one by one, at a cost that does not depend on how many there are.

A Parquet file gives whole row groups. Where these are small they are read as they are needed; where they are large (pyarrow's
default is a million rows, so that often the whole file is one) the rows are laid out in a file without a name while the set is
read for the first time.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from rlaifv.core.errors import DataLoss

LARGE_GROUP_BYTES = 8 << 20
"""A row group over this is not read again for each of its prompts."""

COLUMNS = ("prompt_id", "image", "prompt")
_BATCH = 64


class PromptRows(Protocol):
    """Rows by their number in the file, as plain types; `prompt_id` may be left out."""

    def read(self, numbers: Sequence[int]) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """The rows with these numbers, in any order. Raises DataLoss if the file changed."""
        ...


class GroupedRows:
    """Read from the file, group by group."""

    def __init__(self, path: Path, metadata: pq.FileMetaData) -> None:
        self._path = path
        # Kept, for the list of all groups is as long as the file.
        self._metadata = metadata
        sizes = (metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))
        self._begins = array("Q", accumulate(sizes, initial=0))

    def read(self, numbers: Sequence[int]) -> Iterator[tuple[int, Mapping[str, Any]]]:
        by_group: dict[int, list[int]] = {}
        for number in numbers:
            by_group.setdefault(bisect_right(self._begins, number) - 1, []).append(number)
        try:
            with pq.ParquetFile(self._path, metadata=self._metadata) as file:
                for group in sorted(by_group):
                    wanted = sorted(set(by_group[group]))
                    table = file.read_row_group(group, columns=list(COLUMNS))
                    rows = table.take([number - self._begins[group] for number in wanted]).to_pylist()
                    yield from zip(wanted, rows, strict=True)
        except (pa.ArrowException, OSError) as exc:
            raise DataLoss(f"{self._path}: changed while the run uses it ({exc}); restore the file") from exc


class SpooledRows:
    """Laid out one after another in a file that is gone with this object, however the process ends."""

    def __init__(self, folder: Path) -> None:
        handle, name = tempfile.mkstemp(prefix=".prompts.", dir=folder)
        os.unlink(name)
        self._handle = handle
        weakref.finalize(self, os.close, handle)
        self._ends = array("Q", [0])
        self._paths, self._texts = array("I"), array("I")

    def add(self, row: Mapping[str, Any]) -> None:
        """The next row."""
        data, path = _split(row["image"])
        text = row["prompt"].encode("utf-8", "surrogatepass")
        parts = (data, path.encode("utf-8", "surrogatepass"), text)
        for part in parts:
            _write(self._handle, part)
        self._ends.append(self._ends[-1] + sum(map(len, parts)))
        self._paths.append(len(parts[1]))
        self._texts.append(len(text))

    def read(self, numbers: Sequence[int]) -> Iterator[tuple[int, Mapping[str, Any]]]:
        for number in numbers:
            begin, end = self._ends[number], self._ends[number + 1]
            raw = os.pread(self._handle, end - begin, begin)
            text = len(raw) - self._texts[number]
            path = text - self._paths[number]
            image = {"bytes": raw[:path] or None, "path": raw[path:text].decode("utf-8", "surrogatepass") or None}
            yield number, {"image": image, "prompt": raw[text:].decode("utf-8", "surrogatepass")}


def all_rows(file: pq.ParquetFile, columns: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """Every row in its order, a few in memory at a time."""
    for batch in file.iter_batches(batch_size=_BATCH, columns=list(columns)):
        yield from batch.to_pylist()


def has_large_groups(metadata: pq.FileMetaData) -> bool:
    """Whether reading a prompt of this file by its group would read much that nobody asked for."""
    groups = (metadata.row_group(group) for group in range(metadata.num_row_groups))
    return any(group.num_rows > 1 and group.total_byte_size > LARGE_GROUP_BYTES for group in groups)


def _split(image: object) -> tuple[bytes, str]:
    if isinstance(image, bytes):
        return image, ""
    assert isinstance(image, dict), "checked before"
    return image.get("bytes") or b"", image.get("path") or ""


def _write(handle: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(handle, left) :]
