"""Starts the labeler service: the only place that picks its backend and its decomposer."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from rlaifv.rpc.entry import run_service
from rlaifv.rpc.server import Ready, ServiceServer
from services.labeler.settings import LabelerSettings

if TYPE_CHECKING:
    from rlaifv.adapters.fake.labeler import FakeLabeler
    from rlaifv.adapters.local_decomposer import LocalDecomposer
    from rlaifv.adapters.remote.decomposer import RemoteDecomposer

SERVICE = "rlaifv.api.v1.LabelerService"


async def serve(settings: LabelerSettings) -> None:
    """Serve until SIGTERM."""
    from rlaifv.rpc.server import serve

    await serve(settings, SERVICE, lambda server, registry: load(settings, server, registry))


async def load(settings: LabelerSettings, server: ServiceServer, registry: CollectorRegistry) -> Ready:
    """The backend that the settings choose, ready to answer."""
    from rlaifv.adapters.answer_scoring import AnswerScoring
    from rlaifv.api.v1.labeler_pb2_grpc import add_LabelerServiceServicer_to_server
    from rlaifv.rpc.metrics import LabelerMetrics, ModelMetrics, QueueCollector
    from services.labeler.servicer import LabelerServicer

    labeler = await _labeler(settings)
    decomposer = await _decomposer(settings)
    checkpoint = labeler.checkpoint
    QueueCollector(registry, labeler.activity)
    ModelMetrics(registry).serves(checkpoint.digest)
    servicer = LabelerServicer(
        labeler,
        AnswerScoring(decomposer, labeler, checkpoint.digest, decomposer.version),
        checkpoint,
        server.metrics,
        LabelerMetrics(registry),
        decomposer_version=decomposer.version,
        max_in_flight=settings.max_in_flight,
        max_image_bytes=settings.max_image_bytes,
        max_answer_bytes=settings.max_answer_bytes,
    )

    async def close() -> None:
        await labeler.close()
        await decomposer.close()

    return Ready(
        register=lambda grpc_server: add_LabelerServiceServicer_to_server(servicer, grpc_server),
        check=labeler.check,
        close=close,
    )


async def _labeler(settings: LabelerSettings) -> FakeLabeler:
    from rlaifv.adapters.fake.labeler import FakeLabeler

    latency_s = settings.fake_latency_ms / 1000
    return FakeLabeler(
        settings.checkpoint, settings.fake_behaviour, latency_s, settings.max_queue, settings.image_sources
    )


async def _decomposer(settings: LabelerSettings) -> LocalDecomposer | RemoteDecomposer:
    if settings.decomposer == "remote":
        from rlaifv.adapters.remote.decomposer import RemoteDecomposer

        return RemoteDecomposer(settings.decomposer_target, patience_s=settings.decomposer_patience_s)
    from rlaifv.adapters.local_decomposer import LocalDecomposer, divider

    return LocalDecomposer(await divider(settings.decomposer))


if __name__ == "__main__":
    sys.exit(run_service("labeler", LabelerSettings, serve))
