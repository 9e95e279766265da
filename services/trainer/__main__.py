"""Starts the trainer service: the only place that picks its backend."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from rlaifv.rpc.entry import run_service
from rlaifv.rpc.server import Ready, ServiceServer
from services.trainer.settings import TrainerSettings

if TYPE_CHECKING:
    from rlaifv.adapters.fake.trainer import FakeTrainer

SERVICE = "rlaifv.api.v1.TrainerService"


async def serve(settings: TrainerSettings) -> None:
    """Serve until SIGTERM."""
    from rlaifv.rpc.server import serve

    await serve(settings, SERVICE, lambda server, registry: load(settings, server, registry))


async def load(settings: TrainerSettings, server: ServiceServer, registry: CollectorRegistry) -> Ready:
    """The backend that the settings choose, ready to train."""
    from rlaifv.api.v1.trainer_pb2_grpc import add_TrainerServiceServicer_to_server
    from rlaifv.rpc.metrics import TrainerMetrics
    from services.trainer.following import JobFollower
    from services.trainer.servicer import TrainerServicer

    trainer = _trainer(settings)
    follower = JobFollower(trainer, TrainerMetrics(registry))
    servicer = TrainerServicer(trainer, follower, settings.allowed_roots)

    async def close() -> None:
        await follower.close()
        await trainer.close()

    return Ready(register=lambda grpc_server: add_TrainerServiceServicer_to_server(servicer, grpc_server), close=close)


def _trainer(settings: TrainerSettings) -> FakeTrainer:
    from rlaifv.adapters.fake.trainer import FakeTrainer

    return FakeTrainer(settings.fake_steps, settings.fake_step_ms / 1000)


if __name__ == "__main__":
    sys.exit(run_service("trainer", TrainerSettings, serve))
