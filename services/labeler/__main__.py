"""Starts the labeler service: the only place that picks its backend and its decomposer."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from rlaifv.core.checkpoints import Checkpoint
from rlaifv.ports.services import Labeler
from rlaifv.rpc.entry import run_service
from rlaifv.rpc.metrics import Activity
from rlaifv.rpc.server import Ready, ServiceServer
from services.labeler.settings import LabelerSettings

if TYPE_CHECKING:
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

    backend = await _backend(settings, ModelMetrics(registry).serves)
    decomposer = await _decomposer(settings)
    QueueCollector(registry, backend.activity)
    servicer = LabelerServicer(
        backend.labeler,
        AnswerScoring(decomposer, backend.labeler, lambda: backend.checkpoint().digest),
        backend.checkpoint,
        decomposer.version,
        server.metrics,
        LabelerMetrics(registry),
        max_in_flight=settings.max_in_flight,
        max_image_bytes=settings.max_image_bytes,
        max_answer_bytes=settings.max_answer_bytes,
    )

    async def close() -> None:
        await backend.close()
        await decomposer.close()

    return Ready(
        register=lambda grpc_server: add_LabelerServiceServicer_to_server(servicer, grpc_server),
        check=backend.check,
        close=close,
        fixed=True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """What looks, with which weights now, what it is doing, whether it can, and how to end it."""

    labeler: Labeler
    checkpoint: Callable[[], Checkpoint]
    activity: Callable[[], Activity]
    check: Callable[[], Awaitable[None]]
    close: Callable[[], Awaitable[None]]


async def _backend(settings: LabelerSettings, serves: Callable[[str], None]) -> Backend:
    """`serves` hears of the version that answers, and of every later one."""
    if settings.backend == "triton":
        return await _triton(settings, serves)
    backend = _fake(settings) if settings.backend == "fake" else await asyncio.to_thread(_huggingface, settings)
    serves(backend.checkpoint().digest)
    return backend


def _fake(settings: LabelerSettings) -> Backend:
    from rlaifv.adapters.fake.labeler import FakeLabeler

    latency_s = settings.fake_latency_ms / 1000
    labeler = FakeLabeler(
        settings.checkpoint, settings.fake_behaviour, latency_s, settings.max_queue, settings.image_sources
    )
    return Backend(
        labeler=labeler,
        checkpoint=lambda: labeler.checkpoint,
        activity=labeler.activity,
        check=labeler.check,
        close=labeler.close,
    )


def _huggingface(settings: LabelerSettings) -> Backend:
    import torch

    from rlaifv.adapters.huggingface.labeler import HuggingFaceLabeler, LabelerOptions

    if settings.torch_threads:
        torch.set_num_threads(settings.torch_threads)
    options = LabelerOptions(
        precision=settings.number_format,
        device=settings.device,
        max_waiting=settings.max_queue,
        feature_cache_bytes=settings.feature_cache_bytes,
        branch_bytes=settings.branch_bytes,
        sources=settings.image_sources,
    )
    labeler = HuggingFaceLabeler.open(settings.checkpoint, options)

    def activity() -> Activity:
        now = labeler.activity()
        return Activity(waiting=now.waiting_items, rows=now.rows, batches=now.forward_passes)

    return Backend(
        labeler=labeler,
        checkpoint=lambda: Checkpoint(uri=settings.model, digest=labeler.version),
        activity=activity,
        check=labeler.check,
        close=lambda: asyncio.to_thread(labeler.close),
    )


async def _triton(settings: LabelerSettings, serves: Callable[[str], None]) -> Backend:
    from rlaifv.adapters.triton.labeler import TritonLabeler, TritonOptions

    options = TritonOptions(
        max_waiting=settings.max_queue,
        max_in_flight=settings.triton_max_in_flight,
        patience_s=settings.triton_patience_s,
        timeout_s=settings.triton_timeout_s,
        probe_s=settings.triton_probe_s,
        max_request_bytes=settings.triton_max_request_bytes,
        max_request_questions=settings.triton_max_request_questions,
        picture_cache_bytes=settings.image_cache_bytes,
        sources=settings.image_sources,
    )
    labeler = TritonLabeler(settings.triton_target, settings.triton_model, options, serves)
    await labeler.wait_until_ready()
    place = f"triton://{settings.triton_target}/{settings.triton_model}"
    return Backend(
        labeler=labeler,
        checkpoint=lambda: Checkpoint(uri=place, digest=labeler.version),
        activity=labeler.activity,
        check=labeler.check,
        close=labeler.close,
    )


async def _decomposer(settings: LabelerSettings) -> LocalDecomposer | RemoteDecomposer:
    if settings.decomposer == "remote":
        from rlaifv.adapters.remote.decomposer import RemoteDecomposer

        return RemoteDecomposer(settings.decomposer_target, patience_s=settings.decomposer_patience_s)
    from rlaifv.adapters.local_decomposer import LocalDecomposer, divider

    return LocalDecomposer(await divider(settings.decomposer))


if __name__ == "__main__":
    sys.exit(run_service("labeler", LabelerSettings, serve))
