"""Prometheus metrics of the loop. Labels are our own enums, never a run's name or a prompt."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

from rlaifv.adapters.runs.records import RunPhase


class RunMetrics:
    """Of the orchestrator service; counts are of this process, each finished shard or stage once."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._dropped = Counter("rlaifv_dropped", "Items left out, by reason", ["reason"], registry=registry)
        self.shards = Counter("rlaifv_shards", "Shards collected", registry=registry)
        self.shards_in_flight = Gauge("rlaifv_shards_in_flight", "Shards at work", registry=registry)
        self.prompts = Counter("rlaifv_collected_prompts", "Training prompts collected", registry=registry)
        self.candidates = Counter("rlaifv_collected_candidates", "Candidates collected", registry=registry)
        self.claims = Counter("rlaifv_collected_claims", "Claims judged", registry=registry)
        self.pairs = Counter("rlaifv_pairs", "Preference pairs built", registry=registry)
        self.stage_seconds = Counter("rlaifv_stage_seconds", "Time in a stage", ["stage"], registry=registry)
        self._rounds = Counter("rlaifv_rounds", "Iterations that ended", ["promoted"], registry=registry)
        self._runs = Counter("rlaifv_runs", "Runs that changed their phase", ["phase"], registry=registry)

    def dropped(self, counts: Mapping[str, int]) -> None:
        for reason, count in counts.items():
            self._dropped.labels(reason).inc(count)

    def round_over(self, promoted: bool) -> None:
        self._rounds.labels("yes" if promoted else "no").inc()

    def entered(self, phase: RunPhase) -> None:
        self._runs.labels(phase.value).inc()
