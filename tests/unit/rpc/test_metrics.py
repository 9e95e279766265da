"""docs/metrics.md lists exactly what the services export: names, types and labels."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics import MetricWrapperBase

from rlaifv.adapters.llm.metrics import LlmMetrics
from rlaifv.core.claims import Claim, ClaimType
from rlaifv.core.decomposition import Decomposition, LeftOutClaims, LeftOutReason
from rlaifv.core.errors import BackendFailed
from rlaifv.core.training import TrainingPhase, TrainingProgress
from rlaifv.rpc.metrics import (
    Activity,
    CallMetrics,
    DecomposerMetrics,
    LabelerMetrics,
    MetricsServer,
    ModelMetrics,
    PolicyMetrics,
    QueueCollector,
    TrainerMetrics,
)
from services.orchestrator.metrics import RunMetrics

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"
ALL: list[Any] = [
    CallMetrics, ModelMetrics, PolicyMetrics, DecomposerMetrics, LlmMetrics, LabelerMetrics, TrainerMetrics, RunMetrics,
]  # fmt: skip


def exported(registry: CollectorRegistry) -> dict[str, tuple[str, str]]:
    """Type and labels of every metric, under the name that is scraped."""
    labels = {
        name: ", ".join(collector._labelnames)
        for collector, names in registry._collector_to_names.items()
        if isinstance(collector, MetricWrapperBase)
        for name in names
    }
    found = {}
    for metric in registry.collect():
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        found[name] = (metric.type, labels.get(metric.name, ""))
    return found


def test_the_page_lists_exactly_what_is_exported() -> None:
    registry = CollectorRegistry()
    for metrics in ALL:
        metrics(registry)
    QueueCollector(registry, lambda: Activity(waiting=1, rows=2, batches=3))
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([\w, ]*)\|", PAGE.read_text(), re.MULTILINE)
    assert {name: (kind, labels.strip()) for name, kind, labels in rows} == exported(registry)
    assert len(rows) == len(exported(registry)), "a metric is listed twice"


def test_only_the_present_version_is_exported() -> None:
    registry = CollectorRegistry()
    metrics = ModelMetrics(registry)
    for version in ("a", "a", "b"):
        metrics.serves(version)
    assert registry.get_sample_value("rlaifv_model_info", {"version": "b"}) == 1
    assert registry.get_sample_value("rlaifv_model_info", {"version": "a"}) is None


def test_claims_are_counted_by_type() -> None:
    registry = CollectorRegistry()
    claim = Claim(text="a", type=ClaimType.COUNT, question="b", start=0, end=1)
    left_out = LeftOutClaims(reason=LeftOutReason.QUOTE_NOT_FOUND, count=2)
    DecomposerMetrics(registry).divided(Decomposition(claims=(claim, claim), duplicates=3, left_out=(left_out,)))
    assert registry.get_sample_value("rlaifv_claims_total", {"type": "count"}) == 2
    assert registry.get_sample_value("rlaifv_duplicate_claims_total") == 3
    assert registry.get_sample_value("rlaifv_left_out_claims_total", {"reason": "quote_not_found"}) == 2


def test_a_jobs_end_is_counted() -> None:
    registry = CollectorRegistry()
    metrics = TrainerMetrics(registry)
    metrics.reported(TrainingProgress(phase=TrainingPhase.TRAINING, loss=0.5, dropped={"too_long": 2}))
    metrics.reported(TrainingProgress(phase=TrainingPhase.DONE, loss=0.25))
    assert registry.get_sample_value("rlaifv_training_loss") == 0.25
    assert registry.get_sample_value("rlaifv_training_jobs_total", {"phase": "done"}) == 1
    assert registry.get_sample_value("rlaifv_training_dropped_pairs", {"reason": "too_long"}) == 2


def test_metrics_are_served_and_a_taken_port_is_an_error() -> None:
    registry = CollectorRegistry()
    ModelMetrics(registry).serves("v1")
    server = MetricsServer(registry, "127.0.0.1", 0)
    try:
        with urlopen(f"http://127.0.0.1:{server.port}/metrics") as response:
            assert 'rlaifv_model_info{version="v1"} 1.0' in response.read().decode()
        with pytest.raises(BackendFailed, match=str(server.port)):
            MetricsServer(registry, "127.0.0.1", server.port)
    finally:
        server.close()
    assert generate_latest(registry)
