"""Evaluation files: every evaluated answer with its picture, claims and truth, so that each figure can be computed again."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rlaifv.core.candidates import Prompt
from rlaifv.core.errors import DataLoss
from rlaifv.core.evaluation import EvaluatedAnswer
from rlaifv.core.length_balance import words
from rlaifv.core.scoring import JudgedClaim
from rlaifv.core.verdicts import Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedQuestion:
    """A yes/no question to the policy about the picture and what it said."""

    question: str
    expected: bool
    answer: str

    @property
    def right(self) -> bool:
        """Whether the first word of the answer is the right one of yes and no."""
        first = self.answer.strip().lower().split()[:1]
        said = first[0].strip(".,!?;:'\"*()") if first else ""
        return said == ("yes" if self.expected else "no")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRow:
    """One greedy answer, what the labeler thought of its claims, and what is true of them."""

    prompt: Prompt
    answer: str
    policy_version: str
    truth: str
    coverage: float
    claims: tuple[JudgedClaim, ...]
    truths: tuple[bool | None, ...]
    questions: tuple[AskedQuestion, ...]

    def evaluated(self) -> EvaluatedAnswer:
        """As the figures see it."""
        return EvaluatedAnswer(
            prompt_id=self.prompt.id,
            text=self.answer,
            truths=self.truths,
            coverage=self.coverage,
            questions=tuple(question.right for question in self.questions),
        )


_CLAIM = pa.struct(
    [
        ("text", pa.string()),
        ("type", pa.string()),
        ("question", pa.string()),
        ("start", pa.int32()),
        ("end", pa.int32()),
        ("p_yes", pa.float64()),
        ("p_no", pa.float64()),
        ("mass", pa.float64()),
        ("accepted", pa.bool_()),
        ("truth", pa.bool_()),
    ]
)
_QUESTION = pa.struct(
    [("question", pa.string()), ("expected", pa.bool_()), ("answer", pa.string()), ("right", pa.bool_())]
)
_SCHEMA = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("prompt", pa.string()),
        ("answer", pa.string()),
        ("policy_version", pa.string()),
        ("truth", pa.string()),
        ("coverage", pa.float64()),
        ("words", pa.int32()),
        ("hallucinated", pa.bool_()),
        ("claims", pa.list_(_CLAIM)),
        ("questions", pa.list_(_QUESTION)),
    ]
)


def evaluation_to_parquet(rows: Sequence[EvaluationRow]) -> bytes:
    """The answers as a Parquet file, in their order; the same answers give the same bytes."""
    sink = io.BytesIO()
    table = pa.Table.from_pylist([_row(row) for row in rows], schema=_SCHEMA)
    pq.write_table(table, sink, compression="zstd", row_group_size=256)
    return sink.getvalue()


def evaluated_answers(data: bytes, name: str) -> list[EvaluatedAnswer]:
    """What the figures are computed from, out of an evaluation file. Raises DataLoss if it is damaged."""
    columns = ["prompt_id", "answer", "coverage", "claims", "questions"]
    try:
        rows: list[Mapping[str, Any]] = pq.read_table(io.BytesIO(data), columns=columns).to_pylist()
    except (pa.ArrowInvalid, OSError) as exc:
        raise DataLoss(f"{name}: damaged ({exc})") from exc
    return [
        EvaluatedAnswer(
            prompt_id=row["prompt_id"],
            text=row["answer"],
            truths=tuple(claim["truth"] for claim in row["claims"]),
            coverage=row["coverage"],
            questions=tuple(question["right"] for question in row["questions"]),
        )
        for row in rows
    ]


def _row(row: EvaluationRow) -> dict[str, Any]:
    return {
        "prompt_id": row.prompt.id,
        "image": {"bytes": row.prompt.image.data, "path": None},
        "prompt": row.prompt.text,
        "answer": row.answer,
        "policy_version": row.policy_version,
        "truth": row.truth,
        "coverage": row.coverage,
        "words": words(row.answer),
        "hallucinated": row.evaluated().hallucinated,
        "claims": [_claim(judged, truth) for judged, truth in zip(row.claims, row.truths, strict=True)],
        "questions": [
            {"question": asked.question, "expected": asked.expected, "answer": asked.answer, "right": asked.right}
            for asked in row.questions
        ],
    }


def _claim(judged: JudgedClaim, truth: bool | None) -> dict[str, Any]:
    return {
        "text": judged.claim.text,
        "type": judged.claim.type,
        "question": judged.claim.question,
        "start": judged.claim.start,
        "end": judged.claim.end,
        "p_yes": judged.verdict.p_yes,
        "p_no": judged.verdict.p_no,
        "mass": judged.verdict.mass,
        "accepted": None if judged.decision is Decision.UNDECIDED else judged.accepted,
        "truth": truth,
    }
