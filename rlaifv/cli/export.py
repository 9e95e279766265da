"""`rlaifv export`: the pairs of all rounds as one file with the public data set's columns."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlaifv.cli.output import Json, emit, faults_reported, out
from rlaifv.cli.run_folders import DEFAULT_RUNS, RunsFolder, find_run
from rlaifv.core.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    import pyarrow as pa


class Format(StrEnum):
    """File formats."""

    PARQUET = "parquet"


@faults_reported
def export(
    name: Annotated[str, typer.Argument(metavar="RUN", help="Name or folder of a run.")],
    target: Annotated[Path, typer.Option("--out", help="File to write; it must not exist.")],
    form: Annotated[Format, typer.Option("--format", help="File format.")] = Format.PARQUET,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    runs: RunsFolder = DEFAULT_RUNS,
    as_json: Json = False,
) -> None:
    """Write all preference pairs of a run to one file.

    It has the columns of the public RLAIF-V-Dataset (ds_name, image, question, chosen, rejected, origin_dataset, origin_split,
    idx, image_path) and, after them, where each pair came from. It loads with `datasets.load_dataset`, and `rlaifv train`
    trains on it.

    [dim]Example:[/dim]

      rlaifv export demo-stronger --out pairs.parquet
    """
    if target.exists() and not force:
        raise InvalidInput.field("--out", str(target), "exists: name another file, or add --force")
    if not target.parent.is_dir():
        raise NotFound(f"--out = {str(target)!r}: there is no folder {target.parent}; make it first")
    folder = find_run(name, runs)
    files = sorted(folder.glob("iterations/*/pairs.parquet"), key=lambda path: int(path.parent.name))
    if not files:
        raise NotFound(f"run = {name!r}: it has no pairs yet; `rlaifv status {name}` says where it is")
    counts = _write(files, target)
    total = sum(counts.values())
    if as_json:
        emit({"file": str(target), "format": form.value, "pairs": total, "pairs_by_round": counts})
    else:
        out().print(f"{total} pairs of {len(counts)} rounds: {target}", soft_wrap=True)


def _write(files: list[Path], target: Path) -> dict[str, int]:
    """Joins the files round by round; half a file is never left under the target's name."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    aside = target.with_name(f".{target.name}.part")
    counts: dict[str, int] = {}
    try:
        schema = _schema([pq.read_schema(path) for path in files])
        with pq.ParquetWriter(aside, schema, compression="zstd") as writer:
            for path in files:
                table = pq.read_table(path)
                if "pair_id" in table.column_names:
                    # idx is the row's number in its file, and this is another file.
                    numbers = pa.array([str(sum(counts.values()) + row) for row in range(table.num_rows)])
                    table = table.set_column(table.column_names.index("idx"), "idx", numbers)
                counts[path.parent.name] = table.num_rows
                for missing in [field for field in schema if field.name not in table.column_names]:
                    table = table.append_column(missing, pa.nulls(table.num_rows, missing.type))
                # Small row groups: readers that stream pictures hold one group in memory.
                writer.write_table(table.select(schema.names).cast(schema), row_group_size=256)
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)
    return counts


def _schema(schemas: list[pa.Schema]) -> pa.Schema:
    """All columns of all files; `datasets` is told that `image` is a picture."""
    import json

    import pyarrow as pa

    joined = pa.unify_schemas([schema.remove_metadata() for schema in schemas])
    features = next((s.metadata[b"huggingface"] for s in schemas if s.metadata and b"huggingface" in s.metadata), None)
    if features is None:
        return joined
    json.loads(features)
    return joined.with_metadata({b"huggingface": features})
