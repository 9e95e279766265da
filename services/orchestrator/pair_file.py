"""The pair file of an iteration: the public data set's columns plus where each pair came from."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from rlaifv.adapters.runs.prompt_sets import PromptSet
from rlaifv.adapters.runs.run_file import RunFile
from rlaifv.core.pairs import PreferencePair

_SCHEMA = pa.schema(
    [
        ("ds_name", pa.string()),
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("question", pa.string()),
        ("chosen", pa.string()),
        ("rejected", pa.string()),
        ("origin_dataset", pa.string()),
        ("origin_split", pa.string()),
        ("idx", pa.string()),
        ("image_path", pa.string()),
    ]
)


def pairs_to_parquet(pairs: Sequence[PreferencePair], prompts: PromptSet, run: RunFile, iteration: int) -> bytes:
    """The pairs as a Parquet file; the same pairs give the same bytes."""
    rows = []
    for pair in pairs:
        [prompt] = prompts.prompts([pair.prompt_id])
        rows.append(
            {
                "ds_name": run.name,
                "image": {"bytes": prompt.image.data, "path": None},
                "question": prompt.text,
                "chosen": pair.chosen.candidate.text,
                "rejected": pair.rejected.candidate.text,
                "origin_dataset": run.name,
                "origin_split": json.dumps({"iteration": iteration, "pair_id": pair.id}, sort_keys=True),
                "idx": pair.id,
                "image_path": prompt.image.sha256,
            }
        )
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), sink, compression="zstd")
    return sink.getvalue()
