"""From a pair back to everything that made it."""

from __future__ import annotations

from typing import Any

from rlaifv.adapters.runs import layout
from rlaifv.adapters.runs.ledger import Ledger
from rlaifv.adapters.runs.run_file import RunFile
from rlaifv.adapters.runs.shards import shard_rows
from rlaifv.core.errors import DataLoss
from rlaifv.ports.artifacts import Artifacts


def trace_pair(ledger: Ledger, artifacts: Artifacts, run: RunFile, pair_id: str) -> dict[str, Any]:
    """Image digest, prompt, both candidates with claims, verdicts, seeds, sampling and versions, iteration and files.

    Plain JSON types. Raises NotFound if the run has no such pair.
    """
    origin = ledger.pair(run.name, pair_id)
    name = layout.shard(origin.iteration, origin.shard)
    rows = {row["candidate_id"]: row for row in shard_rows(artifacts.read(name), name)}
    try:
        chosen, rejected = rows[origin.chosen_id], rows[origin.rejected_id]
    except KeyError as exc:
        raise DataLoss(f"{artifacts.uri(name)}: the pair's candidate {exc} is not in it any more") from exc
    return {
        "pair_id": pair_id,
        "run": run.name,
        "run_seed": run.seed,
        "iteration": origin.iteration,
        "prompt_id": origin.prompt_id,
        "prompt": chosen["prompt"],
        "image_sha256": chosen["image_sha256"],
        "prompts_file": str(run.prompts.train),
        "pairs_file": artifacts.uri(layout.pairs(origin.iteration)),
        "shard_file": artifacts.uri(name),
        "sampling": {key: chosen[key] for key in ("temperature", "top_p", "max_new_tokens")},
        "verdict_rule": run.verdict_rule.model_dump(mode="json"),
        "aggregate": str(run.aggregate),
        "score_difference": chosen["score"] - rejected["score"],
        "chosen": _candidate(chosen),
        "rejected": _candidate(rejected),
    }


def _candidate(row: dict[str, Any]) -> dict[str, Any]:
    kept = (
        "candidate_id",
        "index",
        "seed",
        "answer",
        "finish_reason",
        "policy_version",
        "tokens",
        "logprob_sum",
        "decomposer_version",
        "question_prompt_version",
        "score",
        "claims",
    )
    return {name: row[name] for name in kept}
