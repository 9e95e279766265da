"""summary.json: a run's figures for scripts, put together from the ledger alone."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rlaifv.adapters.runs import layout
from rlaifv.adapters.runs.history import RunHistory
from rlaifv.adapters.runs.reading import parse_run_file
from rlaifv.adapters.runs.records import Entry, RunRecord, Span
from rlaifv.adapters.runs.run_file import RunFile
from rlaifv.core.drops import merge_counts
from rlaifv.core.iteration import Trained, Validated
from rlaifv.ports.artifacts import Artifacts


def summarise_run(history: RunHistory, record: RunRecord, run: RunFile) -> dict[str, Any]:
    """Everything that is known of the run now, plain JSON types; rounds that are over, oldest first."""
    history.update()
    for index in sorted(history.rounds):
        if history.rounds[index].over and index not in history.summaries:
            history.summaries[index] = _round(history, index)
    begun = history.rounds[0].entries
    return {
        "name": record.name,
        "seed": run.seed,
        "labeler": run.labeler,
        "phase": record.phase,
        "message": record.message,
        "wall_s": round((record.ended_at or time.time()) - record.began_at, 3),
        "labeler_version": _pinned(begun, "labeler"),
        "decomposer_version": _pinned(begun, "decomposer"),
        "config": run.content(),
        "rounds": [history.summaries[index] for index in sorted(history.summaries)],
    }


def write_summary(history: RunHistory, artifacts: Artifacts, *, timeline: bool = True) -> None:
    """Bring summary.json, and timeline.jsonl if asked for, up to what the ledger says. Raises StorageFull.

    The timeline is added to as the run goes; it needs writing anew after a crash, which may have torn or repeated lines.
    """
    ledger, name = history.ledger, history.name
    record = ledger.run(name)
    summary = summarise_run(history, record, parse_run_file(record.config_yaml, Path()))
    artifacts.write(layout.SUMMARY, json.dumps(summary, indent=2, ensure_ascii=False).encode())
    if timeline:
        artifacts.write(layout.TIMELINE, timeline_jsonl(ledger.spans(name)))


def timeline_jsonl(spans: Iterable[Span]) -> bytes:
    """The run's timeline: one line a span, as they began."""
    return "".join(json.dumps(span.to_dict()) + "\n" for span in spans).encode()


def stage_seconds(spans: Iterable[Span]) -> dict[str, float]:
    """Seconds in which at least one worker was at a stage: spans that overlap count once."""
    by_stage: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for span in spans:
        by_stage[span.stage].append((span.start_s, span.end_s))
    return {stage: round(_union(times), 3) for stage, times in sorted(by_stage.items())}


def _union(times: Sequence[tuple[float, float]]) -> float:
    total, covered_to = 0.0, float("-inf")
    for start, end in sorted(times):
        total += max(0.0, end - max(start, covered_to))
        covered_to = max(covered_to, end)
    return total


def _pinned(entries: dict[str, Entry], what: str) -> str:
    entry = entries.get(f"version:{what}")
    return str(entry.details["version"]) if entry else ""


def _round(history: RunHistory, index: int) -> dict[str, Any]:
    one = history.rounds[index]
    entries = one.entries
    pairs = entries["pairs"].details if "pairs" in entries else {}
    trained = entries["trained"].details if "trained" in entries else {}
    evaluated = entries["evaluated"].details
    return {
        "index": index,
        "promoted": index == 0 or _promoted(entries),
        "policy_version": evaluated["policy"]["digest"],
        "trained_version": _trained_version(entries),
        "pairs": pairs.get("pairs", 0),
        "dropped": merge_counts([one.dropped, pairs.get("dropped", {}), trained.get("dropped", {})]),
        "prompts": one.counts["prompts"],
        "candidates": one.counts["candidates"],
        "claims": one.counts["claims"],
        "mean_chosen_words": pairs.get("mean_chosen_words", 0.0),
        "mean_rejected_words": pairs.get("mean_rejected_words", 0.0),
        "validation": _validation(entries),
        "training": trained.get("figures"),
        "eval": evaluated.get("figures"),
        "eval_refused": evaluated.get("refused", 0),
        "eval_same_as_round": evaluated.get("same_policy_as_round"),
        "stage_seconds": stage_seconds(history.ledger.spans(history.name, index)),
    }


def _promoted(entries: dict[str, Entry]) -> bool:
    return bool("validated" in entries and entries["validated"].details["promoted"])


def _trained_version(entries: dict[str, Entry]) -> str | None:
    event = entries["trained"].event if "trained" in entries else None
    return event.checkpoint.digest if isinstance(event, Trained) else None


def _validation(entries: dict[str, Entry]) -> dict[str, Any] | None:
    entry = entries.get("validated")
    if entry is None or not isinstance(entry.event, Validated):
        return None
    return {"before": entry.details["before"], "after": entry.details["after"]}
