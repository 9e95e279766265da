"""Starts the decomposer service: the only place that picks its backend."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry

from rlaifv.core.errors import InvalidInput, Unavailable
from rlaifv.ports.services import Decomposer
from rlaifv.rpc.entry import run_service
from rlaifv.rpc.metrics import Activity
from rlaifv.rpc.server import Ready, ServiceServer
from services.decomposer.settings import DecomposerSettings

SERVICE = "rlaifv.api.v1.DecomposerService"


async def serve(settings: DecomposerSettings) -> None:
    """Serve until SIGTERM."""
    from rlaifv.rpc.server import serve

    await serve(settings, SERVICE, lambda server, registry: load(settings, server, registry))


async def load(settings: DecomposerSettings, server: ServiceServer, registry: CollectorRegistry) -> Ready:
    """The backend that the settings choose, ready to answer."""
    from rlaifv.api.v1.decomposer_pb2_grpc import add_DecomposerServiceServicer_to_server
    from rlaifv.rpc.metrics import DecomposerMetrics, ModelMetrics, QueueCollector
    from services.decomposer.servicer import DecomposerServicer

    backend = await (_llm(settings, registry) if settings.backend == "llm" else _local(settings))
    ModelMetrics(registry).serves(backend.version)
    QueueCollector(registry, backend.activity)
    servicer = DecomposerServicer(
        backend.decomposer,
        server.metrics,
        DecomposerMetrics(registry),
        max_in_flight=settings.max_in_flight,
        max_answer_bytes=settings.max_answer_bytes,
    )
    return Ready(
        register=lambda grpc_server: add_DecomposerServiceServicer_to_server(servicer, grpc_server),
        check=backend.check,
        close=backend.close,
        fixed=True,
    )


async def _nothing() -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """What divides, its version, what it is doing, whether it can, and how to end it."""

    decomposer: Decomposer
    version: str
    activity: Callable[[], Activity]
    check: Callable[[], Awaitable[None]] = _nothing
    close: Callable[[], Awaitable[None]]


async def _local(settings: DecomposerSettings) -> Backend:
    from rlaifv.adapters.local_decomposer import LocalDecomposer, divider

    local = LocalDecomposer(await divider("fake" if settings.backend == "fake" else "grammar"), settings.max_queue)
    return Backend(decomposer=local, version=await local.version(), activity=local.activity, close=local.close)


async def _llm(settings: DecomposerSettings, registry: CollectorRegistry) -> Backend:
    try:
        from rlaifv.adapters.llm import EndpointOptions, LlmDecomposer, LlmMetrics, LlmOptions
    except ImportError as exc:
        raise Unavailable(f"{exc.name} is not installed: pip install 'rlaifv[llm]'") from exc
    from rlaifv.adapters.local_decomposer import LocalDecomposer, divider

    endpoint = EndpointOptions(
        url=settings.llm_url,
        model=settings.llm_model,
        api_key=await asyncio.to_thread(_key, settings.llm_api_key_file),
        guided=settings.llm_guided,
        temperature=settings.llm_temperature,
        seed=settings.llm_seed,
        max_output_tokens=settings.llm_max_output_tokens,
        extra_body=settings.extra_body,
        timeout_s=settings.llm_timeout_s,
        patience_s=settings.llm_patience_s,
        max_in_flight=settings.llm_max_in_flight,
    )
    options = LlmOptions(
        endpoint=endpoint,
        window_chars=settings.llm_window_chars,
        overlap_chars=settings.llm_overlap_chars,
        repeats=settings.llm_repeats,
        max_queue=settings.max_queue,
        cache_entries=settings.llm_cache_entries,
        cache_bytes=settings.llm_cache_bytes,
    )
    grammar = LocalDecomposer(await divider("grammar")) if settings.llm_on_failure == "grammar" else None
    llm = await LlmDecomposer.open(options, LlmMetrics(registry), grammar, startup_s=settings.llm_startup_s)

    async def close() -> None:
        await llm.close()
        if grammar is not None:
            await grammar.close()

    return Backend(decomposer=llm, version=options.version, activity=llm.activity, check=llm.check, close=close)


def _key(file: Path | None) -> str:
    """The key in a file; "" without a file. Raises InvalidInput for a file that cannot be read or has no key."""
    if file is None:
        return ""
    try:
        key = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidInput(f"llm_api_key_file = {str(file)!r}: cannot be read: {exc}") from exc
    if not key or not key.isascii() or any(character.isspace() for character in key):
        raise InvalidInput(f"llm_api_key_file = {str(file)!r}: must hold one key, in one line of ASCII")
    return key


if __name__ == "__main__":
    sys.exit(run_service("decomposer", DecomposerSettings, serve))
