"""Starts the policy service: the only place that picks its backend."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry

from rlaifv.core.checkpoints import Checkpoint
from rlaifv.ports.services import Policy
from rlaifv.rpc.entry import run_service
from rlaifv.rpc.metrics import Activity
from rlaifv.rpc.server import Ready, ServiceServer
from services.policy.settings import PolicySettings

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

    backend = await asyncio.to_thread(_OPENING[settings.backend], settings)
    QueueCollector(registry, backend.activity)
    backend.export(registry)
    servicer = PolicyServicer(
        backend.policy,
        Checkpoint(uri=settings.model, digest=await backend.policy.version()),
        server.metrics,
        ModelMetrics(registry),
        PolicyMetrics(registry),
        max_in_flight=settings.max_in_flight,
        max_image_bytes=settings.max_image_bytes,
    )
    return Ready(
        register=lambda grpc_server: add_PolicyServiceServicer_to_server(servicer, grpc_server),
        check=backend.check,
        lost=backend.lost,
        close=backend.close,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """What answers, what it is doing, whether it can (and if it ever will again), how to end it, its own metrics for ours."""

    policy: Policy
    activity: Callable[[], Activity]
    check: Callable[[], Awaitable[None]]
    close: Callable[[], Awaitable[None]]
    lost: Callable[[], str] = str
    export: Callable[[CollectorRegistry], object] = lambda registry: None


def _fake(settings: PolicySettings) -> Backend:
    from rlaifv.adapters.fake.policy import FakePolicy

    latency_s = settings.fake_latency_ms / 1000
    policy = FakePolicy(settings.checkpoint, latency_s, settings.max_queue, settings.image_sources)
    return Backend(policy=policy, activity=policy.activity, check=policy.check, close=policy.close)


def _huggingface(settings: PolicySettings) -> Backend:
    import torch

    from rlaifv.adapters.huggingface.policy import HuggingFacePolicy, PolicyOptions

    if settings.torch_threads:
        torch.set_num_threads(settings.torch_threads)
    options = PolicyOptions(
        precision=settings.number_format,
        device=settings.device,
        max_rows=settings.max_rows,
        max_waiting=settings.max_queue,
        feature_cache_bytes=settings.feature_cache_bytes,
        sources=settings.image_sources,
    )
    policy = HuggingFacePolicy.open(settings.checkpoint, options)

    def activity() -> Activity:
        now = policy.activity()
        return Activity(waiting=now.waiting_items, rows=now.active_rows, batches=now.steps)

    return Backend(policy=policy, activity=activity, check=policy.check, close=policy.close)


def _vllm(settings: PolicySettings) -> Backend:
    from rlaifv.adapters.vllm.environment import prepare
    from rlaifv.adapters.vllm.options import VllmOptions

    options = VllmOptions(
        precision=settings.number_format,
        device=settings.device,
        max_rows=settings.max_rows,
        max_waiting=settings.max_queue,
        context_tokens=settings.vllm_context_tokens,
        block_size=settings.vllm_block_size,
        kv_cache_bytes=settings.vllm_kv_cache_bytes,
        gpu_memory_share=settings.vllm_gpu_memory_share,
        gpus=settings.vllm_gpus,
        max_lora_rank=settings.vllm_max_lora_rank,
        picture_cache_bytes=settings.feature_cache_bytes,
        sources=settings.image_sources,
    )
    prepare(options.on_cpu, settings.torch_threads)

    from rlaifv.adapters.vllm.metrics import VllmCollector
    from rlaifv.adapters.vllm.policy import VllmPolicy

    policy = VllmPolicy.open(settings.checkpoint, options)

    def activity() -> Activity:
        now = policy.activity()
        return Activity(waiting=now.waiting_items, rows=now.active_rows, batches=now.steps)

    return Backend(
        policy=policy, activity=activity, check=policy.check, close=policy.close, lost=policy.lost, export=VllmCollector
    )


_OPENING: Final[dict[str, Callable[[PolicySettings], Backend]]] = {
    "fake": _fake,
    "huggingface": _huggingface,
    "vllm": _vllm,
}

if __name__ == "__main__":
    sys.exit(run_service("policy", PolicySettings, serve))
