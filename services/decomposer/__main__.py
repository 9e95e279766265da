"""Starts the decomposer service: the only place that picks its backend."""

from __future__ import annotations

import sys

from prometheus_client import CollectorRegistry

from rlaifv.rpc.entry import run_service
from rlaifv.rpc.server import Ready, ServiceServer
from services.decomposer.settings import DecomposerSettings

SERVICE = "rlaifv.api.v1.DecomposerService"


async def serve(settings: DecomposerSettings) -> None:
    """Serve until SIGTERM."""
    from rlaifv.rpc.server import serve

    await serve(settings, SERVICE, lambda server, registry: load(settings, server, registry))


async def load(settings: DecomposerSettings, server: ServiceServer, registry: CollectorRegistry) -> Ready:
    """The backend that the settings choose, ready to answer."""
    from rlaifv.adapters.local_decomposer import LocalDecomposer, divider
    from rlaifv.api.v1.decomposer_pb2_grpc import add_DecomposerServiceServicer_to_server
    from rlaifv.rpc.metrics import DecomposerMetrics, ModelMetrics, QueueCollector
    from services.decomposer.servicer import DecomposerServicer

    decomposer = LocalDecomposer(await divider(settings.backend), settings.max_queue)
    ModelMetrics(registry).serves(await decomposer.version())
    QueueCollector(registry, decomposer.activity)
    servicer = DecomposerServicer(
        decomposer,
        server.metrics,
        DecomposerMetrics(registry),
        max_in_flight=settings.max_in_flight,
        max_answer_bytes=settings.max_answer_bytes,
    )
    return Ready(
        register=lambda grpc_server: add_DecomposerServiceServicer_to_server(servicer, grpc_server),
        close=decomposer.close,
    )


if __name__ == "__main__":
    sys.exit(run_service("decomposer", DecomposerSettings, serve))
