"""Where runs are, from their files alone. A run that is not over and that nobody works at is shown as stopped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlaifv.adapters.orchestrator_client import RoundState, RunState
from rlaifv.cli.run_ledger import open_ledger
from rlaifv.core.errors import DataLoss

_AT_WORK = ("running", "pending")


def ledger_states(runs: Path) -> dict[str, RunState]:
    """All runs in the ledger of a folder, newest first."""
    from rlaifv.adapters.runs.history import RunHistory
    from rlaifv.adapters.runs.reading import parse_run_file
    from rlaifv.adapters.runs.summary import summarise_run

    states = {}
    with open_ledger(runs) as ledger:
        for record in ledger.runs():
            run = parse_run_file(record.config_yaml, runs)
            progress = record.progress
            summary = summarise_run(RunHistory(ledger, record.name), record, run) | {
                "iteration": progress.iteration,
                "iterations": run.iterations,
                "stage": progress.stage,
                "stage_done": progress.done,
                "stage_total": progress.total,
            }
            states[record.name] = _state(summary, runs / record.name)
    return states


def state_of_folder(folder: Path) -> RunState:
    """What the summary in a run's folder says. Raises DataLoss if it is damaged."""
    return _state(_summary(folder), folder)


def _state(summary: Mapping[str, Any], folder: Path) -> RunState:
    rounds = tuple(_round(entry) for entry in summary.get("rounds", []))
    last = rounds[-1].index if rounds else 0
    phase = str(summary.get("phase") or "stopped")
    return RunState(
        name=str(summary.get("name") or folder.name),
        phase="stopped" if phase in _AT_WORK else phase,
        message=str(summary.get("message") or ""),
        iteration=int(summary.get("iteration", last)),
        iterations=int(summary.get("iterations", last)),
        stage="done" if phase == "done" else str(summary.get("stage", "")),
        stage_done=int(summary.get("stage_done", 0)),
        stage_total=int(summary.get("stage_total", 0)),
        wall_s=float(summary.get("wall_s") or 0.0),
        folder=str(folder),
        policy_version="",
        rounds=rounds,
        training=None,
        dropped={},
    )


def _summary(folder: Path) -> dict[str, Any]:
    path = folder / "summary.json"
    if not path.exists():
        return {}
    try:
        data = json.loads(path.read_text("utf-8"))
    except ValueError as exc:
        raise DataLoss(f"{path}: is not JSON ({exc}); `rlaifv resume {folder.name}` writes it anew") from exc
    return dict(data)


def _round(entry: Mapping[str, Any]) -> RoundState:
    figures = entry.get("eval") or {}
    return RoundState(
        index=int(entry["index"]),
        promoted=bool(entry.get("promoted")),
        pairs=int(entry.get("pairs") or 0),
        dropped=dict(entry.get("dropped") or {}),
        response_hallucination=figures.get("response_hallucination"),
        coverage=figures.get("coverage"),
        mean_words=figures.get("mean_words"),
    )
