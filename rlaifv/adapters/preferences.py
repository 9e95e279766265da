"""The preference set as Parquet: the columns of the public RLAIF-V data set, then where every pair comes from.

The same pairs give the same bytes. `datasets.load_dataset("parquet", …)` loads it with `image` as pictures. Files of the public
data set, which lack the second half of the columns, are read as well.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import islice
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from rlaifv.adapters.files import write_file
from rlaifv.core.candidates import Prompt
from rlaifv.core.errors import DataLoss, InvalidInput, NotFound
from rlaifv.core.pairs import PreferencePair
from rlaifv.core.scoring import ScoredCandidate

ROWS_PER_GROUP = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceRow:
    """One row. The first nine fields are the public data set's; the rest is provenance, empty where a file has none.

    `image` holds encoded bytes. `origin_split` is JSON text, as in the public data set. Claims are JSON lists of objects with
    `text, start, end, type, question, p_yes, p_no, decision`. Scores are at most 0; `idx` is the row number in its file.
    """

    ds_name: str = ""
    image: bytes = b""
    question: str = ""
    chosen: str = ""
    rejected: str = ""
    origin_dataset: str = ""
    origin_split: str = "{}"
    idx: str = ""
    image_path: str = ""
    pair_id: str = ""
    prompt_id: str = ""
    iteration: int = 0
    chosen_seed: int = 0
    rejected_seed: int = 0
    chosen_score: float = 0.0
    rejected_score: float = 0.0
    policy_version: str = ""
    labeler_version: str = ""
    decomposer_version: str = ""
    prompt_version: str = ""
    chosen_claims: str = "[]"
    rejected_claims: str = "[]"

    @property
    def image_sha256(self) -> str:
        return hashlib.sha256(self.image).hexdigest()


_REQUIRED = ("image", "question", "chosen", "rejected")
_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_TYPES: Mapping[str, Any] = {"str": pa.string(), "int": pa.int64(), "float": pa.float64(), "bytes": _IMAGE}
_SCHEMA = pa.schema([(field.name, _TYPES[str(field.type)]) for field in fields(PreferenceRow)])


def preference_row(
    pair: PreferencePair,
    prompt: Prompt,
    image: bytes,
    *,
    ds_name: str,
    iteration: int,
    decomposer_version: str,
    prompt_version: str,
    origin_dataset: str = "",
) -> PreferenceRow:
    """The row of a pair; `image` are the encoded bytes of the prompt's picture. `idx` is set when the file is written."""
    labelers = {claim.verdict.labeler_version for side in (pair.chosen, pair.rejected) for claim in side.claims}
    versions = {"policy": pair.chosen.candidate.policy_version, "labeler": ",".join(sorted(labelers))}
    return PreferenceRow(
        ds_name=ds_name,
        image=image,
        question=prompt.text,
        chosen=pair.chosen.candidate.text,
        rejected=pair.rejected.candidate.text,
        origin_dataset=origin_dataset or ds_name,
        origin_split=json.dumps({"model": versions["policy"], "labeler": versions["labeler"]}, sort_keys=True),
        image_path=Path(prompt.image.uri).name or prompt.id,
        pair_id=pair.id,
        prompt_id=pair.prompt_id,
        iteration=iteration,
        chosen_seed=pair.chosen.candidate.seed,
        rejected_seed=pair.rejected.candidate.seed,
        chosen_score=pair.chosen.score,
        rejected_score=pair.rejected.score,
        policy_version=versions["policy"],
        labeler_version=versions["labeler"],
        decomposer_version=decomposer_version,
        prompt_version=prompt_version,
        chosen_claims=_claims(pair.chosen),
        rejected_claims=_claims(pair.rejected),
    )


class PreferenceWriter:
    """Writes the Parquet file of some pairs to `file`, a group of rows at a time; a pure function of the rows.

    `sha256` is the digest of the whole file once it is closed.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._sink = _Digested(file)
        schema = _SCHEMA.with_metadata({"huggingface": json.dumps(_features(), sort_keys=True)})
        self._writer = pq.ParquetWriter(pa.PythonFile(self._sink, mode="w"), schema, compression="snappy")
        self._rows = 0

    def add(self, rows: Sequence[PreferenceRow]) -> None:
        """The next group: `ROWS_PER_GROUP` rows, fewer only in the last."""
        numbered = enumerate(rows, start=self._rows)
        self._writer.write_table(pa.Table.from_pylist([_columns(row, n) for n, row in numbered], schema=_SCHEMA))
        self._rows += len(rows)

    def close(self) -> None:
        """Write what ends the file; `file` stays open."""
        self._writer.close()

    @property
    def sha256(self) -> str:
        return self._sink.digest.hexdigest()


class _Digested:
    """A file that is only written to, and the digest of that."""

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._written = 0
        self.digest = hashlib.sha256()

    def write(self, data: Any) -> int:
        self._file.write(data)
        self.digest.update(data)
        self._written += len(data)
        return len(data)

    def tell(self) -> int:
        return self._written

    def flush(self) -> None:
        self._file.flush()


def encode_preferences(rows: Iterable[PreferenceRow]) -> bytes:
    """The Parquet file of the rows, in their order; a pure function of them."""
    sink = io.BytesIO()
    writer = PreferenceWriter(sink)
    coming = iter(rows)
    while group := list(islice(coming, ROWS_PER_GROUP)):
        writer.add(group)
    writer.close()
    return sink.getvalue()


def _columns(row: PreferenceRow, number: int) -> dict[str, Any]:
    picture = {"bytes": row.image, "path": row.image_path or None}
    return {**asdict(row), "idx": row.idx or str(number), "image": picture}


def write_preferences(path: Path, rows: Iterable[PreferenceRow]) -> str:
    """Write the file whole or not at all; returns its SHA-256. Raises StorageFull."""
    data = encode_preferences(rows)
    write_file(path, data)
    return hashlib.sha256(data).hexdigest()


def read_preferences(path: Path) -> Iterator[PreferenceRow]:
    """The rows in order, a few hundred in memory at a time.

    Raises NotFound, DataLoss (not a whole Parquet file) or InvalidInput (a column is missing or of another kind, or a row
    lacks a value that it needs; the message names column and row).
    """
    file = _open(path)
    present = [field.name for field in fields(PreferenceRow) if field.name in file.schema_arrow.names]
    number = 0
    with file:
        for batch in file.iter_batches(batch_size=ROWS_PER_GROUP, columns=present):
            for values in batch.to_pylist():
                yield _row(values, number, path)
                number += 1


def count_preferences(path: Path) -> int:
    """How many rows the file has. Errors as `read_preferences`."""
    with _open(path) as file:
        return int(file.metadata.num_rows)


def _open(path: Path) -> Any:
    try:
        file = pq.ParquetFile(path)
    except FileNotFoundError as exc:
        raise NotFound(f"pairs = {str(path)!r}: there is no such file") from exc
    except (pa.ArrowInvalid, OSError) as exc:
        raise DataLoss(f"pairs = {str(path)!r} is no whole Parquet file ({exc}); write or copy it again") from exc
    missing = [name for name in _REQUIRED if name not in file.schema_arrow.names]
    if missing:
        found = ", ".join(file.schema_arrow.names)
        file.close()
        raise InvalidInput.field("pairs", str(path), f"column {missing[0]!r} is missing; found: {found}")
    return file


def _row(values: dict[str, Any], number: int, path: Path) -> PreferenceRow:
    picture = values["image"]
    values["image"] = picture.get("bytes") if isinstance(picture, dict) else picture
    for name in _REQUIRED:
        kind = bytes if name == "image" else str
        if not isinstance(values[name], kind) or not values[name]:
            found = type(values[name]).__name__
            raise InvalidInput(
                f"pairs {str(path)!r}, row {number}: column {name!r} has no value ({found}); fill or drop it"
            )
    kinds: dict[str, Any] = {"str": str, "int": int, "float": float, "bytes": bytes}
    typed = {
        field.name: kinds[str(field.type)](values[field.name])
        for field in fields(PreferenceRow)
        if values.get(field.name) is not None
    }
    return PreferenceRow(**typed)


def _claims(scored: ScoredCandidate) -> str:
    return json.dumps(
        [
            {
                "text": judged.claim.text,
                "start": judged.claim.start,
                "end": judged.claim.end,
                "type": str(judged.claim.type),
                "question": judged.claim.question,
                "p_yes": judged.verdict.p_yes,
                "p_no": judged.verdict.p_no,
                "decision": str(judged.decision),
            }
            for judged in scored.claims
        ],
        ensure_ascii=False,
    )


def _features() -> dict[str, Any]:
    """What `datasets` reads to know that the image column holds pictures."""
    kinds = {"str": "string", "int": "int64", "float": "float64"}
    described = {
        field.name: {"_type": "Image"} if field.name == "image" else {"dtype": kinds[str(field.type)], "_type": "Value"}
        for field in fields(PreferenceRow)
    }
    return {"info": {"features": described}}
