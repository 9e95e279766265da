"""Names of the files in a run's folder."""

from __future__ import annotations

RUN_FILE = "run.yaml"
SUMMARY = "summary.json"
TIMELINE = "timeline.jsonl"


def shard(iteration: int, index: int) -> str:
    """All scored candidates of a shard."""
    return f"iterations/{iteration}/shards/{index}.parquet"


def pairs(iteration: int) -> str:
    """The pairs that the iteration trains on."""
    return f"iterations/{iteration}/pairs.parquet"


def training(iteration: int) -> str:
    """The trainer's folder; the checkpoint is in `model/` within it."""
    return f"iterations/{iteration}/training"


def training_log(iteration: int) -> str:
    """The trainer's reports, one a line."""
    return f"iterations/{iteration}/training.jsonl"


def validation(iteration: int) -> str:
    """Both policies' validation figures and the decision."""
    return f"iterations/{iteration}/validation.json"


def evaluation(iteration: int) -> str:
    """The evaluated answers; iteration 0 is the start."""
    return f"iterations/{iteration}/evaluation.parquet"
