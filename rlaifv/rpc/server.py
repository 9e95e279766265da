"""One way to serve, for all services: health, reflection, metrics, error translation, drain.

bind ports ─▶ NOT_SERVING, load the model ─▶ SERVING ◀─▶ NOT_SERVING while the backend is away
                                                │ SIGTERM, or the backend is lost (then exit 1)
                                                ▼
              NOT_SERVING, new calls refused ─▶ calls in flight end (at most drain_s) ─▶ close the backend ─▶ exit 0
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client import CollectorRegistry

from rlaifv.core.errors import BackendFailed, RlaifvError
from rlaifv.rpc.channel import server_options
from rlaifv.rpc.gate import Gate, GateState
from rlaifv.rpc.interceptor import CallInterceptor
from rlaifv.rpc.metrics import CallMetrics, MetricsServer
from rlaifv.rpc.settings import ServiceSettings

log = structlog.stdlib.get_logger(__name__)

_ABORT_GRACE_S: Final = 0.5


async def _nothing() -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A backend that can answer: how to register its servicer, and how to look after it.

    `check` raises an RlaifvError while the backend cannot answer; `lost` says why it never will again ("" while it may), which
    ends the service, for its supervisor to start it anew. `drain` ends calls that would not end by themselves when the service
    stops; `close` frees what it holds. `fixed` says that what is loaded stays until the end (a policy exchanges its weights).
    """

    register: Callable[[grpc.aio.Server], None]
    check: Callable[[], Awaitable[None]] = _nothing
    lost: Callable[[], str] = str
    drain: Callable[[], Awaitable[None]] = _nothing
    close: Callable[[], Awaitable[None]] = _nothing
    fixed: bool = False


class ServiceServer:
    """A gRPC server with everything around it. Make it inside the running loop; `start`, `open`, `stop`, in that order."""

    def __init__(self, settings: ServiceSettings, service: str, registry: CollectorRegistry) -> None:
        """`service` is the full gRPC name, as health and reflection give it."""
        self._settings = settings
        self._service = service
        self._registry = registry
        self.metrics = CallMetrics(registry, settings.max_held_bytes)
        self._gate = Gate(settings.max_calls, self.metrics)
        self._health = health.aio.HealthServicer()
        self._server = grpc.aio.server(
            interceptors=(self._gate, CallInterceptor(self._gate, self.metrics)),
            options=server_options(settings.max_message_bytes),
        )
        self._exporter: MetricsServer | None = None
        self._watch: asyncio.Task[None] | None = None
        self._backend: Ready | None = None
        self.port = 0

    @property
    def target(self) -> str:
        """Where a client on this machine connects to."""
        return f"{self._settings.host}:{self.port}"

    @property
    def metrics_port(self) -> int:
        return self._exporter.port if self._exporter else 0

    async def start(self) -> None:
        """Bind both ports and answer probes with NOT_SERVING; raises BackendFailed for a port that is taken."""
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection((self._service, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server)
        address = f"{self._settings.host}:{self._settings.port}"
        try:
            self.port = self._server.add_insecure_port(address)
        except RuntimeError as exc:
            raise BackendFailed(f"cannot listen on {address}: is it in use? Choose another port") from exc
        self._exporter = MetricsServer(self._registry, self._settings.host, self._settings.metrics_port)
        await self._set_serving(False)
        await self._server.start()
        if self._settings.ports_file:
            write_ports(self._settings.ports_file, self.port, self._exporter.port)

    async def open(self, backend: Ready) -> None:
        """Let calls in."""
        self._backend = backend
        backend.register(self._server)
        self._gate.state = GateState.OPEN
        await self._set_serving(True)
        self._watch = asyncio.create_task(self._watch_backend(backend))

    async def gone(self) -> None:
        """Waits until the backend is lost; then raises BackendFailed with the reason."""
        assert self._watch is not None
        await asyncio.shield(self._watch)

    async def stop(self) -> None:
        """Refuse new calls, let those in flight end, close the backend; safe after a failed start."""
        if self._watch:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        await self._health.enter_graceful_shutdown()
        self.metrics.ready.set(0)
        self._gate.state = GateState.DRAINING
        if self._backend:
            await self._backend.drain()
        if not await self._gate.drain(self._settings.drain_s):
            log.warning("calls were cancelled: they did not end in time", drain_s=self._settings.drain_s)
        await self._server.stop(_ABORT_GRACE_S)
        if self._backend:
            await self._backend.close()
        if self._exporter:
            await asyncio.to_thread(self._exporter.close)

    async def _watch_backend(self, backend: Ready) -> None:
        alive = True
        while True:
            await asyncio.sleep(self._settings.health_interval_s)
            if reason := backend.lost():
                await self._set_serving(False)
                raise BackendFailed(reason)
            try:
                await backend.check()
            except RlaifvError as error:
                if alive:
                    log.error("the backend cannot answer", error=error.message)
                alive = False
            else:
                if not alive:
                    log.info("the backend answers again")
                alive = True
            await self._set_serving(alive)

    async def _set_serving(self, serving: bool) -> None:
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", self._service):
            await self._health.set(name, status)
        self.metrics.ready.set(serving)


async def serve(
    settings: ServiceSettings,
    service: str,
    load: Callable[[ServiceServer, CollectorRegistry], Awaitable[Ready]],
) -> None:
    """Serve until SIGTERM or SIGINT. `load` makes the backend; it may take long, probes are answered meanwhile."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    registry = CollectorRegistry()
    server = ServiceServer(settings, service, registry)
    stopping = asyncio.create_task(stop.wait())
    try:
        await server.start()
        log.info("loading", grpc_port=server.port, metrics_port=server.metrics_port)
        loading = asyncio.ensure_future(load(server, registry))
        await asyncio.wait((loading, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not loading.done():
            loading.cancel()
            return
        backend = await loading
        if backend.fixed:
            _keep_for_good()
        await server.open(backend)
        log.info("serving", grpc_port=server.port, metrics_port=server.metrics_port)
        going = asyncio.ensure_future(server.gone())
        await asyncio.wait((stopping, going), return_when=asyncio.FIRST_COMPLETED)
        if going.done():
            going.result()
        going.cancel()
        log.info("draining")
    finally:
        stopping.cancel()
        await server.stop()
        log.info("stopped")


def _keep_for_good() -> None:
    """Take what is loaded out of the garbage collector's rounds.

    Libraries, vocabularies and a model are millions of objects; one full round over them stops the process for about a second,
    and a burst of calls allocates enough to start several. What is kept and lies on a circle of references is never freed, so
    this is not for models that are exchanged.
    """
    gc.collect()
    gc.freeze()


def write_ports(path: Path, grpc_port: int, metrics_port: int) -> None:
    """Tell a supervisor which ports were taken: written aside, then renamed, so that a reader never sees half of it."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(json.dumps({"grpc": grpc_port, "metrics": metrics_port, "pid": os.getpid()}))
    aside.replace(path)
