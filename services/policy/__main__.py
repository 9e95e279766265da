"""Starts the policy service: the only place that picks its backend."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from rlaifv.core.checkpoints import Checkpoint
from rlaifv.rpc.entry import run_service
from rlaifv.rpc.server import Ready, ServiceServer
from services.policy.settings import PolicySettings

if TYPE_CHECKING:
    from rlaifv.adapters.fake.policy import FakePolicy

SERVICE = "rlaifv.api.v1.PolicyService"


async def serve(settings: PolicySettings) -> None:
    """Serve until SIGTERM."""
    from rlaifv.rpc.server import serve

    await serve(settings, SERVICE, lambda server, registry: load(settings, server, registry))


async def load(settings: PolicySettings, server: ServiceServer, registry: CollectorRegistry) -> Ready:
    """The backend that the settings choose, ready to answer."""
    from rlaifv.api.v1.policy_pb2_grpc import add_PolicyServiceServicer_to_server
    from rlaifv.rpc.metrics import ModelMetrics, PolicyMetrics, QueueCollector
    from services.policy.servicer import PolicyServicer

    policy = await _policy(settings)
    QueueCollector(registry, policy.activity)
    servicer = PolicyServicer(
        policy,
        Checkpoint(uri=settings.model, digest=await policy.version()),
        server.metrics,
        ModelMetrics(registry),
        PolicyMetrics(registry),
        max_in_flight=settings.max_in_flight,
        max_image_bytes=settings.max_image_bytes,
    )
    return Ready(
        register=lambda grpc_server: add_PolicyServiceServicer_to_server(servicer, grpc_server),
        check=policy.check,
        close=policy.close,
    )


async def _policy(settings: PolicySettings) -> FakePolicy:
    from rlaifv.adapters.fake.policy import FakePolicy

    latency_s = settings.fake_latency_ms / 1000
    return FakePolicy(settings.checkpoint, latency_s, settings.max_queue, settings.image_sources)


if __name__ == "__main__":
    sys.exit(run_service("policy", PolicySettings, serve))
