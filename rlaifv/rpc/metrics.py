"""Prometheus metrics of the services; names and labels are documented in docs/metrics.md, which a test holds to this file.

Labels take few values, all from our own code (methods, status names, enums): never an id, a path or a text of a caller. The
one exception is the model version, of which only the present one is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from socketserver import ThreadingMixIn
from threading import Thread
from time import perf_counter
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rlaifv.core.candidates import Candidate
from rlaifv.core.decomposition import Decomposition
from rlaifv.core.errors import BackendFailed
from rlaifv.core.training import TrainingProgress
from rlaifv.rpc.backlog import MAX_HELD_BYTES, Backlog

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class CallMetrics:
    """Of every service: calls, items of streams, and the process."""

    def __init__(self, registry: CollectorRegistry, max_held_bytes: int = MAX_HELD_BYTES) -> None:
        ProcessCollector(registry=registry)
        self.backlog = Backlog(max_held_bytes)
        self.calls = Counter("rlaifv_calls", "Calls that ended", ["method", "code"], registry=registry)
        self.call_seconds = Histogram(
            "rlaifv_call_seconds", "Duration of calls", ["method"], buckets=SECONDS, registry=registry
        )
        self.calls_in_flight = Gauge("rlaifv_calls_in_flight", "Calls that have not ended", registry=registry)
        self.items = Counter(
            "rlaifv_items", "Items of streams that were answered", ["method", "code"], registry=registry
        )
        self.item_seconds = Histogram(
            "rlaifv_item_seconds",
            "Time from reading an item to its answer",
            ["method"],
            buckets=SECONDS,
            registry=registry,
        )
        self.items_in_flight = Gauge(
            "rlaifv_items_in_flight", "Items that were read and not answered", ["method"], registry=registry
        )
        held = Gauge("rlaifv_held_bytes", "Requests of items that were read and not answered", registry=registry)
        held.set_function(lambda: self.backlog.bytes)
        self.ready = Gauge("rlaifv_ready", "1 while health is SERVING", registry=registry)

    @contextmanager
    def item(self, method: str) -> Iterator[None]:
        """Times one item and counts it as in flight."""
        begin = perf_counter()
        self.items_in_flight.labels(method).inc()
        try:
            yield
        finally:
            self.items_in_flight.labels(method).dec()
            self.item_seconds.labels(method).observe(perf_counter() - begin)


class ModelMetrics:
    """Of services with weights: which version answers now."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._info = Gauge("rlaifv_model_info", "1 for the version that answers now", ["version"], registry=registry)
        self._version: str | None = None

    def serves(self, version: str) -> None:
        """`version` answers from now on; the one before is no longer exported."""
        if version != self._version:
            if self._version is not None:
                self._info.remove(self._version)
            self._info.labels(version).set(1)
            self._version = version


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What a model does: items that wait, rows in its present batch, and how many batches it has computed since start."""

    waiting: int
    rows: int
    batches: int


class QueueCollector(Collector):
    """Of services with a queue before their model; read at each scrape, so that the model's thread need not report."""

    def __init__(self, registry: CollectorRegistry, read: Callable[[], Activity]) -> None:
        self._read = read
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        now = self._read()
        yield GaugeMetricFamily("rlaifv_queue_depth", "Items that wait for the model", now.waiting)
        yield GaugeMetricFamily("rlaifv_batch_size", "Rows in the model's present batch", now.rows)
        yield CounterMetricFamily(
            "rlaifv_batches", "Batches (decoding: steps) that the model has computed", now.batches
        )


class PolicyMetrics:
    """Of the policy service."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._candidates = Counter("rlaifv_candidates", "Answers generated", ["finish_reason"], registry=registry)
        self._tokens = Counter("rlaifv_tokens", "Tokens generated", registry=registry)

    def generated(self, candidates: Iterable[Candidate]) -> None:
        for candidate in candidates:
            self._candidates.labels(candidate.finish_reason.value).inc()
            self._tokens.inc(len(candidate.token_ids))


class DecomposerMetrics:
    """Of services that divide answers."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._claims = Counter("rlaifv_claims", "Claims found", ["type"], registry=registry)
        self._skipped = Counter("rlaifv_skipped_texts", "Stretches that gave no claim", ["reason"], registry=registry)
        self._duplicates = Counter("rlaifv_duplicate_claims", "Repeated claims left out", registry=registry)
        self._left_out = Counter("rlaifv_left_out_claims", "Claims that broke a rule", ["reason"], registry=registry)

    def divided(self, decomposition: Decomposition) -> None:
        for claim in decomposition.claims:
            self._claims.labels(claim.type.value).inc()
        for skipped in decomposition.skipped:
            self._skipped.labels(skipped.reason.value).inc()
        self._duplicates.inc(decomposition.duplicates)
        for left_out in decomposition.left_out:
            self._left_out.labels(left_out.reason.value).inc(left_out.count)


class LabelerMetrics:
    """Of the labeler service."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.verdicts = Counter("rlaifv_verdicts", "Questions answered", registry=registry)
        self.judged = Counter("rlaifv_judged_claims", "Claims judged in whole answers", ["decision"], registry=registry)
        self.scored = Counter("rlaifv_scored_answers", "Whole answers scored", ["result"], registry=registry)


class TrainerMetrics:
    """Of the trainer service; the gauges show the newest report of the job at work."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.pairs = Counter("rlaifv_trained_pairs", "Pairs that optimiser steps were made of", registry=registry)
        self._dropped = Gauge(
            "rlaifv_training_dropped_pairs", "Pairs left out of the job", ["reason"], registry=registry
        )
        self._jobs = Counter("rlaifv_training_jobs", "Jobs that ended", ["phase"], registry=registry)
        self._figures = {
            name: Gauge(f"rlaifv_training_{name}", text, registry=registry)
            for name, text in (
                ("step", "Optimiser steps done"),
                ("total_steps", "Optimiser steps in all"),
                ("loss", "DPO loss, nats"),
                ("reward_margin", "Reward margin, nats"),
                ("accuracy", "Share of pairs ranked rightly"),
                ("grad_norm", "Norm of the gradients before clipping"),
                ("learning_rate", "Learning rate of the last step"),
                ("pairs_per_s", "Pairs trained on in each second"),
            )
        }

    def reported(self, progress: TrainingProgress) -> None:
        for name, gauge in self._figures.items():
            gauge.set(getattr(progress, name))
        for reason, count in progress.dropped.items():
            self._dropped.labels(reason).set(count)
        if progress.over:
            self._jobs.labels(progress.phase.value).inc()


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """A scrape every few seconds is no news."""


class _Threaded(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class MetricsServer:
    """Serves a registry at /metrics from a thread of its own, so that a busy event loop is still seen."""

    def __init__(self, registry: CollectorRegistry, host: str, port: int) -> None:
        try:
            self._server = make_server(host, port, make_wsgi_app(registry), _Threaded, _Quiet)
        except OSError as exc:
            raise BackendFailed(f"metrics cannot listen on {host}:{port}: {exc.strerror}; choose another port") from exc
        # `close` waits for one turn of this loop; the default turn of 0.5 s would be the longest part of a shutdown.
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), name="metrics", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_port)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
