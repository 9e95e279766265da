"""Starts the trainer service: the only place that picks its backend."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from rlaifv.rpc.entry import run_service
from rlaifv.rpc.server import Ready, ServiceServer
from services.trainer.settings import TrainerSettings

if TYPE_CHECKING:
    from rlaifv.adapters.fake.trainer import FakeTrainer
    from rlaifv.adapters.huggingface.trainer import HuggingFaceTrainer

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

    trainer = _fake(settings) if settings.backend == "fake" else await asyncio.to_thread(_huggingface, settings)
    follower = JobFollower(trainer, TrainerMetrics(registry))
    servicer = TrainerServicer(trainer, follower, settings.allowed_roots)

    async def close() -> None:
        await follower.close()
        await trainer.close()

    return Ready(
        register=lambda grpc_server: add_TrainerServiceServicer_to_server(servicer, grpc_server),
        drain=servicer.drain,
        close=close,
    )


def _fake(settings: TrainerSettings) -> FakeTrainer:
    from rlaifv.adapters.fake.trainer import FakeTrainer

    return FakeTrainer(settings.fake_steps, settings.fake_step_ms / 1000)


def _huggingface(settings: TrainerSettings) -> HuggingFaceTrainer:
    import torch

    from rlaifv.adapters.huggingface.trainer import HuggingFaceTrainer
    from rlaifv.adapters.huggingface.training_run import TrainerOptions

    if settings.torch_threads:
        torch.set_num_threads(settings.torch_threads)
    options = TrainerOptions(
        device=settings.device,
        save_every_steps=settings.save_every_steps,
        save_every_s=settings.save_every_s,
        pack_tokens=settings.pack_tokens,
        reference_batch_size=settings.reference_batch_size,
        feature_bytes=settings.feature_bytes,
    )
    return HuggingFaceTrainer(options)


if __name__ == "__main__":
    sys.exit(run_service("trainer", TrainerSettings, serve))
