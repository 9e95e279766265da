"""Shard files: everything that was made of the prompts of a shard, one row a candidate, enough to trace any pair back."""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rlaifv.core.candidates import Candidate, FinishReason, Sampling
from rlaifv.core.claims import Claim, ClaimType
from rlaifv.core.drops import DropReason
from rlaifv.core.errors import DataLoss
from rlaifv.core.scoring import JudgedClaim, ScoredCandidate
from rlaifv.core.verdicts import PROMPT_VERSION, Decision, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectedCandidate:
    """A candidate and what was made of it: `score`, or `drop` where it has none."""

    candidate: Candidate
    claims: tuple[JudgedClaim, ...] = ()
    score: float | None = None
    drop: DropReason | None = None
    reason: str = ""
    """For people: the error behind a drop."""
    repeated_claims: int = 0
    decomposer_version: str = ""

    def scored(self) -> ScoredCandidate | None:
        """As the pairing sees it; None where it has no score."""
        if self.score is None:
            return None
        return ScoredCandidate(candidate=self.candidate, claims=self.claims, score=self.score)


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectedPrompt:
    """A prompt and all its candidates; none, and `drop`, if the policy refused it."""

    prompt_id: str
    text: str
    image_sha256: str
    candidates: tuple[CollectedCandidate, ...] = ()
    drop: DropReason | None = None
    reason: str = ""

    def drops(self) -> dict[str, int]:
        """Counts by reason."""
        reasons = [self.drop, *(item.drop for item in self.candidates)]
        return dict(Counter(str(reason) for reason in reasons if reason is not None))


_CLAIM = pa.struct(
    [
        ("text", pa.string()),
        ("type", pa.string()),
        ("question", pa.string()),
        ("start", pa.int32()),
        ("end", pa.int32()),
        ("p_yes", pa.float64()),
        ("p_no", pa.float64()),
        ("decision", pa.string()),
        ("labeler_version", pa.string()),
    ]
)
_SCHEMA = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("prompt", pa.string()),
        ("image_sha256", pa.string()),
        ("prompt_drop", pa.string()),
        ("candidate_id", pa.string()),
        ("index", pa.int32()),
        ("seed", pa.int64()),
        ("answer", pa.string()),
        ("finish_reason", pa.string()),
        ("policy_version", pa.string()),
        ("tokens", pa.int32()),
        ("logprob_sum", pa.float64()),
        ("temperature", pa.float64()),
        ("top_p", pa.float64()),
        ("max_new_tokens", pa.int32()),
        ("decomposer_version", pa.string()),
        ("question_prompt_version", pa.string()),
        ("score", pa.float64()),
        ("drop", pa.string()),
        ("drop_reason", pa.string()),
        ("repeated_claims", pa.int32()),
        ("claims", pa.list_(_CLAIM)),
    ]
)
_SCORE_COLUMNS = ("prompt_id", "index", "seed", "answer", "finish_reason", "policy_version", "score")


def shard_to_parquet(prompts: Sequence[CollectedPrompt], sampling: Sampling) -> bytes:
    """The shard as a Parquet file; the same shard gives the same bytes."""
    rows = [row for prompt in prompts for row in _rows(prompt, sampling)]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), sink, compression="zstd")
    return sink.getvalue()


def shard_rows(data: bytes, name: str) -> list[dict[str, Any]]:
    """The rows of a shard file as plain types. Raises DataLoss if it is damaged."""
    rows: list[dict[str, Any]] = _read(data, name, _SCHEMA).to_pylist()
    return rows


def shard_from_parquet(data: bytes, name: str) -> list[CollectedPrompt]:
    """The inverse of `shard_to_parquet`, token ids and their log-probabilities aside. Raises DataLoss."""
    grouped: dict[str, list[dict[str, Any]]] = {}
    for row in shard_rows(data, name):
        grouped.setdefault(row["prompt_id"], []).append(row)
    return [_prompt(rows) for rows in grouped.values()]


def shard_scores(data: bytes, name: str) -> list[list[tuple[int, ScoredCandidate]]]:
    """For each prompt its candidates that have a score, with the number of their row, without claims. Raises DataLoss.

    Claims are most of a shard file, and choosing pairs needs none of them.
    """
    found: dict[str, list[tuple[int, ScoredCandidate]]] = {}
    table = _read(data, name, pa.schema([_SCHEMA.field(column) for column in _SCORE_COLUMNS]))
    for number, row in enumerate(table.to_pylist()):
        scored = found.setdefault(row["prompt_id"], [])
        if row["score"] is not None:
            scored.append((number, ScoredCandidate(candidate=_answer(row), claims=(), score=row["score"])))
    return list(found.values())


def shard_candidates(data: bytes, name: str, rows: Sequence[int]) -> list[CollectedCandidate]:
    """The candidates in these rows, in that order. Raises DataLoss."""
    return [_candidate(row) for row in _read(data, name, _SCHEMA).take(rows).to_pylist()]


def _read(data: bytes, name: str, schema: pa.Schema) -> pa.Table:
    try:
        return pq.read_table(io.BytesIO(data), schema=schema, columns=schema.names)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OSError) as exc:
        raise DataLoss(f"{name}: damaged ({exc}); delete it and resume the run to make it again") from exc


def _rows(prompt: CollectedPrompt, sampling: Sampling) -> list[dict[str, Any]]:
    shared: dict[str, Any] = {
        "prompt_id": prompt.prompt_id,
        "prompt": prompt.text,
        "image_sha256": prompt.image_sha256,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_new_tokens": sampling.max_new_tokens,
    }
    if not prompt.candidates:
        return [shared | {"prompt_drop": prompt.drop, "drop_reason": prompt.reason}]
    return [shared | _candidate_row(item) for item in prompt.candidates]


def _candidate_row(item: CollectedCandidate) -> dict[str, Any]:
    candidate = item.candidate
    return {
        "candidate_id": candidate.id,
        "index": candidate.index,
        "seed": candidate.seed,
        "answer": candidate.text,
        "finish_reason": candidate.finish_reason,
        "policy_version": candidate.policy_version,
        "tokens": len(candidate.token_ids),
        "logprob_sum": math.fsum(candidate.token_logprobs),
        "decomposer_version": item.decomposer_version,
        "question_prompt_version": PROMPT_VERSION,
        "score": item.score,
        "drop": item.drop,
        "drop_reason": item.reason,
        "repeated_claims": item.repeated_claims,
        "claims": [_claim_row(judged) for judged in item.claims],
    }


def _claim_row(judged: JudgedClaim) -> dict[str, Any]:
    return {
        "text": judged.claim.text,
        "type": judged.claim.type,
        "question": judged.claim.question,
        "start": judged.claim.start,
        "end": judged.claim.end,
        "p_yes": judged.verdict.p_yes,
        "p_no": judged.verdict.p_no,
        "decision": judged.decision,
        "labeler_version": judged.verdict.labeler_version,
    }


def _prompt(rows: Sequence[Mapping[str, Any]]) -> CollectedPrompt:
    first = rows[0]
    refused = first["prompt_drop"] is not None
    return CollectedPrompt(
        prompt_id=first["prompt_id"],
        text=first["prompt"],
        image_sha256=first["image_sha256"],
        candidates=() if refused else tuple(_candidate(row) for row in rows),
        drop=DropReason(first["prompt_drop"]) if refused else None,
        reason=first["drop_reason"] if refused else "",
    )


def _candidate(row: Mapping[str, Any]) -> CollectedCandidate:
    return CollectedCandidate(
        candidate=_answer(row),
        claims=tuple(_claim(claim) for claim in row["claims"]),
        score=row["score"],
        drop=None if row["drop"] is None else DropReason(row["drop"]),
        reason=row["drop_reason"],
        repeated_claims=row["repeated_claims"],
        decomposer_version=row["decomposer_version"],
    )


def _answer(row: Mapping[str, Any]) -> Candidate:
    return Candidate(
        prompt_id=row["prompt_id"],
        index=row["index"],
        seed=row["seed"],
        text=row["answer"],
        finish_reason=FinishReason(row["finish_reason"]),
        policy_version=row["policy_version"],
    )


def _claim(row: Mapping[str, Any]) -> JudgedClaim:
    return JudgedClaim(
        claim=Claim(
            text=row["text"], type=ClaimType(row["type"]), question=row["question"], start=row["start"], end=row["end"]
        ),
        verdict=Verdict(
            question=row["question"], p_yes=row["p_yes"], p_no=row["p_no"], labeler_version=row["labeler_version"]
        ),
        decision=Decision(row["decision"]),
    )
