"""What the runs of bench.growth work on: prompts, a run file, and what must come out."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.scripted import Script
from rlaifv.adapters.runs import layout
from rlaifv.adapters.runs.folder import FolderArtifacts
from rlaifv.adapters.runs.prompt_sets import prompt_order

_VALIDATION = 8
"""Prompts of the validation set: as many whatever the size of the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What is run. `database` is a Postgres URL; "" is SQLite. `image_bytes` is the size of every picture."""

    prompts: int
    candidates: int = 10
    claims: int = 9
    shard_prompts: int = 8
    shards_in_flight: int = 2
    image_bytes: int = 16_384
    row_group: int = 1_048_576
    database: str = ""
    seed: int = 0


@contextmanager
def worlds(sizes: Sequence[Size]) -> Iterator[list[Path]]:
    """A folder with prompts for each size; they are written by another process, so that no memory of it is left in this one."""
    with tempfile.TemporaryDirectory(prefix="rlaifv-growth-") as folder:
        folders = [Path(folder) / str(number) for number in range(len(sizes))]
        for one, size in zip(folders, sizes, strict=True):
            (one / "runs").mkdir(parents=True)
            writer = get_context("fork").Process(target=write_prompts, args=(one, size))
            writer.start()
            writer.join()
        yield folders


def write_prompts(folder: Path, size: Size) -> None:
    """The prompt files of a run; pictures are noise of the right size, for nobody decodes them."""
    schema = pa.schema(
        [("prompt_id", pa.string()), ("image", pa.struct([("bytes", pa.binary())])), ("prompt", pa.string())]
    )
    rng = np.random.default_rng(size.seed)
    for name, count in (("train", size.prompts), ("validation", _VALIDATION)):
        with pq.ParquetWriter(folder / f"{name}.parquet", schema, compression="none") as writer:
            for begin in range(0, count, size.row_group):
                rows = [
                    {
                        "prompt_id": f"{name}-{number:07d}",
                        "image": {"bytes": rng.bytes(size.image_bytes)},
                        "prompt": f"Describe picture {number} in detail.",
                    }
                    for number in range(begin, min(begin + size.row_group, count))
                ]
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))


def run_file(size: Size) -> str:
    """One iteration over all prompts."""
    fields = {
        "name": "growth",
        "seed": size.seed,
        "policy": "fake:start",
        "prompts": {"train": "train.parquet", "validation": "validation.parquet"},
        "iterations": 1,
        "prompts_per_iteration": size.prompts,
        "candidates": size.candidates,
        "shard_prompts": size.shard_prompts,
        "shards_in_flight": size.shards_in_flight,
        "promotion": {"min_words_ratio": 0.0},
    }
    return json.dumps(fields)


def check(folder: Path, size: Size, figures: Mapping[str, Any]) -> list[str]:
    """What in the round's figures and in the pair file is not as the script has it."""
    answers = size.prompts * size.candidates
    expected = {"prompts": size.prompts, "candidates": answers, "claims": answers * size.claims}
    wrong = [f"{name}: {figures[name]}, not {count}" for name, count in expected.items() if figures[name] != count]
    pairs = _pairs(FolderArtifacts(folder / "runs" / "growth"))
    script = Script(size.claims)
    ids = pq.read_table(folder / "train.parquet", columns=["prompt_id"])["prompt_id"].to_pylist()
    possible = 0
    for prompt_id in prompt_order(ids, size.seed):
        all_pairs = script.preferences(prompt_id, size.seed, 1, size.candidates)
        possible += len(all_pairs)
        chosen = pairs.pop(prompt_id, [])
        if not set(chosen) <= all_pairs or len(chosen) > 2:
            wrong.append(f"pairs of {prompt_id}")
    dropped = figures["dropped"]
    counted = figures["pairs"] + dropped.get("pair_cap", 0) + dropped.get("length_balance", 0)
    if pairs or counted != possible:
        wrong.append(f"{counted} pairs kept or dropped, not {possible}; pairs of {len(pairs)} unknown prompts")
    return wrong


def _pairs(artifacts: FolderArtifacts) -> dict[str, list[tuple[str, str]]]:
    """The pair file by prompt."""
    found: dict[str, list[tuple[str, str]]] = {}
    file = pq.ParquetFile(artifacts.uri(layout.pairs(1)))
    for batch in file.iter_batches(columns=["prompt_id", "chosen", "rejected"]):
        for row in batch.to_pylist():
            found.setdefault(row["prompt_id"], []).append((row["chosen"], row["rejected"]))
    return found
