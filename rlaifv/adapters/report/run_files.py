"""Reads a run folder. Knows the files' layout and nothing of what a report shows.

Whatever a run has not written yet is absent (None or empty), so that a run can be looked at while it goes on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlaifv.core.errors import DataLoss, InvalidInput, NotFound

_ROW_COLUMNS = ["prompt_id", "prompt", "answer", "policy_version", "truth", "coverage", "claims", "questions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRow:
    """A claim of an evaluated answer: the labeler's verdict on it (`accepted`; None: undecided) and the truth (None: unknown)."""

    text: str
    type: str
    question: str
    start: int
    end: int
    p_yes: float
    p_no: float
    accepted: bool | None
    truth: bool | None

    @property
    def share(self) -> float | None:
        """p_yes / (p_yes + p_no); None where the labeler gave neither any weight."""
        mass = self.p_yes + self.p_no
        return self.p_yes / mass if mass > 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRow:
    """One greedy answer to a held-out prompt. `row` is its place in the file; `scene` the annotation as JSON text."""

    row: int
    prompt_id: str
    prompt: str
    answer: str
    policy_version: str
    scene: str
    coverage: float
    claims: tuple[ClaimRow, ...]
    questions: tuple[bool, ...]

    @property
    def false_claims(self) -> int:
        return sum(claim.truth is False for claim in self.claims)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSpan:
    """One stretch of work in seconds since the run began."""

    iteration: int
    stage: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundFiles:
    """What one round left behind. `stated` is its entry in summary.json."""

    index: int
    stated: Mapping[str, Any] | None
    answers: tuple[AnswerRow, ...]
    training: tuple[Mapping[str, float], ...]
    evaluation_path: Path

    @property
    def promoted(self) -> bool:
        """Whether the policy evaluated here is new; the start counts as such."""
        return self.index == 0 or bool(self.stated and self.stated.get("promoted"))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFiles:
    """A run folder as read."""

    folder: Path
    name: str
    summary: Mapping[str, Any]
    settings: str
    timeline: tuple[StageSpan, ...]
    rounds: tuple[RoundFiles, ...]

    @property
    def labeler(self) -> str:
        return str(self.summary.get("labeler") or "unknown")

    @property
    def finished(self) -> bool:
        return str(self.summary.get("phase", "")).lower() == "done"


def read_run(folder: Path) -> RunFiles:
    """The run in `folder`. Raises NotFound if there is no such folder, InvalidInput if it holds no run, DataLoss if damaged."""
    if not folder.is_dir():
        raise NotFound(f"run = '{folder}': there is no such run folder; `rlaifv status` lists the runs")
    summary = _read_json(folder / "summary.json")
    if not summary and not (folder / "run.yaml").exists():
        raise InvalidInput.field("run", str(folder), "must be a run folder: it holds neither run.yaml nor summary.json")
    stated = {int(entry["index"]): entry for entry in summary.get("rounds", [])}
    folders = (int(path.name) for path in (folder / "iterations").glob("*") if path.name.isdecimal())
    settings = folder / "run.yaml"
    return RunFiles(
        folder=folder,
        name=str(summary.get("name") or folder.resolve().name),
        summary=summary,
        settings=settings.read_text(encoding="utf-8") if settings.exists() else "",
        timeline=tuple(_spans(_read_lines(folder / "timeline.jsonl"))),
        rounds=tuple(_read_round(folder, index, stated.get(index)) for index in sorted({*stated, *folders})),
    )


def read_images(path: Path, rows: Iterable[int]) -> dict[int, bytes]:
    """The encoded pictures of the given rows of an evaluation file; reads no more than a few rows into memory at a time."""
    import pyarrow.parquet as pq

    wanted, found, first = set(rows), {}, 0
    for batch in pq.ParquetFile(path).iter_batches(batch_size=64, columns=["image"]):
        for offset in range(batch.num_rows):
            if first + offset in wanted:
                image = batch.column(0)[offset].as_py() or {}
                found[first + offset] = image.get("bytes") or b""
        first += batch.num_rows
    return found


def _read_round(folder: Path, index: int, stated: Mapping[str, Any] | None) -> RoundFiles:
    home = folder / "iterations" / str(index)
    evaluation = home / "evaluation.parquet"
    return RoundFiles(
        index=index,
        stated=stated,
        answers=_read_answers(evaluation) if evaluation.exists() else (),
        training=tuple(_read_lines(home / "training.jsonl")),
        evaluation_path=evaluation,
    )


def _read_answers(path: Path) -> tuple[AnswerRow, ...]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        records = pq.read_table(path, columns=_ROW_COLUMNS).to_pylist()
    except (pa.ArrowException, OSError) as exc:
        raise DataLoss(f"{path}: cannot be read as an evaluation file ({exc})") from exc
    return tuple(_answer(row, record) for row, record in enumerate(records))


def _answer(row: int, record: Mapping[str, Any]) -> AnswerRow:
    return AnswerRow(
        row=row,
        prompt_id=str(record["prompt_id"]),
        prompt=record["prompt"] or "",
        answer=record["answer"] or "",
        policy_version=record["policy_version"] or "",
        scene=record["truth"] or "",
        coverage=float(record["coverage"]),
        claims=tuple(_claim(claim) for claim in record["claims"] or ()),
        questions=tuple(bool(question["right"]) for question in record["questions"] or ()),
    )


def _claim(record: Mapping[str, Any]) -> ClaimRow:
    return ClaimRow(
        text=record["text"],
        type=record["type"],
        question=record["question"],
        start=record["start"],
        end=record["end"],
        p_yes=record["p_yes"] or 0.0,
        p_no=record["p_no"] or 0.0,
        accepted=record["accepted"],
        truth=record["truth"],
    )


def _spans(records: Sequence[Mapping[str, Any]]) -> Iterable[StageSpan]:
    for record in records:
        yield StageSpan(
            iteration=int(record["iteration"]),
            stage=str(record["stage"]),
            start_s=float(record["start_s"]),
            end_s=float(record["end_s"]),
        )


def _read_json(path: Path) -> Mapping[str, Any]:
    if not path.exists():
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as exc:
        raise DataLoss(f"{path}: is not JSON ({exc})") from exc
    if not isinstance(data, dict):
        raise DataLoss(f"{path}: must hold a JSON object")
    return data


def _read_lines(path: Path) -> list[Mapping[str, Any]]:
    """The complete lines of a JSON-lines file; a last line cut short by a crash is left out."""
    if not path.exists():
        return []
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            continue
    return [record for record in records if isinstance(record, dict)]
