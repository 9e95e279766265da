"""What vLLM says about itself: rows and steps for our metrics, and its own Prometheus metrics on our port."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from vllm.v1.metrics.loggers import StatLoggerBase


class Meter(StatLoggerBase):  # type: ignore[misc]
    """Counts the engine's steps, and keeps the number of rows in the newest one."""

    def __init__(self) -> None:
        self.steps = self.rows = 0

    def __call__(self, config: Any, engine_index: int = 0) -> Meter:
        """vLLM asks a factory for each engine's logger; there is one engine."""
        return self

    def record(
        self, scheduler_stats: Any, iteration_stats: Any, mm_cache_stats: Any = None, engine_idx: int = 0
    ) -> None:
        if scheduler_stats is not None:
            self.steps += 1
            self.rows = int(scheduler_stats.num_running_reqs)

    def log_engine_initialized(self) -> None:
        """Nothing to say."""


class VllmCollector(Collector):
    """vLLM's own metrics (`vllm:…`), which it keeps in the process-wide registry, in ours too."""

    def __init__(self, registry: CollectorRegistry) -> None:
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        yield from (metric for metric in REGISTRY.collect() if metric.name.startswith("vllm:"))
