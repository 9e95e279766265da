"""Our services as processes on this machine: started, watched, restarted, stopped.

    start ──▶ ports bound ──▶ health SERVING ──▶ ready ◀──────────────┐
      │ dies                       │ dies            │ dies           │ same port, after a pause
      ▼                            ▼                 ▼                │
    BackendFailed with the end of its log        restart ─────────────┘ more than `restarts` times in a minute ─▶ failed

No process outlives the supervisor: stop() drains them, and the kernel kills them if the supervisor itself is killed. Make and
use it in a thread that lives as long as the services (the main thread), for the kernel's promise is bound to that thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Final

import structlog

from rlaifv.adapters.local_process import LocalProcess, LocalService, Patience, ending
from rlaifv.core.errors import BackendFailed, DeadlineExceeded

__all__ = ["LocalService", "LocalServices", "Patience"]

log = structlog.stdlib.get_logger(__name__)

_LONGEST_PAUSE_S: Final = 5.0
_RESTART_WINDOW_S: Final = 60.0


class LocalServices:
    """Starts `services` on entering, stops them on leaving. Logs are `<folder>/<name>.log`."""

    def __init__(self, services: Sequence[LocalService], folder: Path, patience: Patience | None = None) -> None:
        self._services = services
        self._folder = folder
        self._patience = patience or Patience()
        self._children: dict[str, LocalProcess] = {}
        self._watchers: list[asyncio.Task[None]] = []

    @property
    def endpoints(self) -> dict[str, str]:
        """ "host:port" of every service by name; a restart does not change it."""
        return {name: child.endpoint for name, child in self._children.items()}

    @property
    def metrics(self) -> dict[str, str]:
        """Address of the Prometheus metrics of every service by name."""
        return {name: child.metrics_endpoint for name, child in self._children.items()}

    @property
    def processes(self) -> dict[str, int]:
        """Process id of every service by name; a restart changes it."""
        return {name: child.pid for name, child in self._children.items()}

    async def __aenter__(self) -> LocalServices:
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            for level in _levels(self._services):
                await _together([self._start(service) for service in level])
        except BaseException:
            await self.stop()
            raise
        self._watchers = [asyncio.create_task(self._watch(child)) for child in self._children.values()]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def failed(self) -> None:
        """Waits until a service was given up; then raises BackendFailed. Waits for ever while all is well."""
        ended, _ = await asyncio.wait(self._watchers, return_when=asyncio.FIRST_COMPLETED)
        for watcher in ended:
            watcher.result()

    async def stop(self) -> None:
        """SIGTERM to all, the last started first; SIGKILL after the drain time. Safe to call twice."""
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        for level in reversed(list(_levels(self._services))):
            stopping = [self._children[s.name].stop() for s in level if s.name in self._children]
            await asyncio.gather(*stopping)

    async def _start(self, service: LocalService) -> None:
        child = LocalProcess(service, self._folder, self._patience)
        self._children[service.name] = child
        await child.start(self.endpoints if service.wiring else {})
        log.info("service is ready", service=service.name, endpoint=child.endpoint, pid=child.pid)

    async def _watch(self, child: LocalProcess) -> None:
        """Restarts the service whenever it dies; raises BackendFailed once that is hopeless."""
        deaths: list[float] = []
        while True:
            code = await child.ended()
            deaths = [moment for moment in deaths if time.monotonic() - moment < _RESTART_WINDOW_S] + [time.monotonic()]
            if len(deaths) > self._patience.restarts:
                raise child.failure(f"died {len(deaths)} times within a minute, last with {ending(code)}")
            pause = min(self._patience.first_pause_s * 2 ** (len(deaths) - 1), _LONGEST_PAUSE_S)
            log.warning("service died, restarting", service=child.name, ending=ending(code), pause_s=pause)
            await asyncio.sleep(pause)
            try:
                await child.start(self.endpoints)
            except BackendFailed as error:
                log.warning("service died while restarting", service=child.name, error=error.message)
            except DeadlineExceeded as error:
                raise BackendFailed(error.message) from error


def _levels(services: Sequence[LocalService]) -> list[list[LocalService]]:
    """The services in groups that can start together, each after those that it is wired to."""
    names = {service.name for service in services}
    levels: list[list[LocalService]] = []
    started: set[str] = set()
    waiting = list(services)
    while waiting:
        ready = [service for service in waiting if not (set(service.wiring.values()) & names) - started]
        if not ready:
            raise ValueError(f"services wait for each other: {[service.name for service in waiting]}")
        levels.append(ready)
        started |= {service.name for service in ready}
        waiting = [service for service in waiting if service.name not in started]
    return levels


async def _together(starting: Sequence[Coroutine[None, None, None]]) -> None:
    """All at once; the first failure ends the others and is raised as it is."""
    tasks = [asyncio.create_task(start) for start in starting]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
