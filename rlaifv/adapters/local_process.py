"""One of our services as a process on this machine: its settings, its ports, its health, its log, its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from rlaifv.core.errors import BackendFailed, DeadlineExceeded
from rlaifv.rpc.channel import open_channel

Endpoints = Mapping[str, str]
_POLL_S: Final = 0.05
_TAIL_LINES: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalService:
    """One service to start.

    `settings` are its settings by lower-case name; `wiring` names the settings that get another service's endpoint (it is
    started after that one). `threads` bounds the threads of its maths libraries; None leaves that to them. `python` is the
    interpreter that runs `module`; "" is this one.
    """

    name: str
    settings: Mapping[str, str] = field(default_factory=dict)
    wiring: Mapping[str, str] = field(default_factory=dict)
    threads: int | None = None
    module: str = ""
    python: str = ""

    def environment(self, endpoints: Endpoints) -> dict[str, str]:
        """Variables to add to the supervisor's own."""
        values = {**self.settings, **{setting: endpoints[service] for setting, service in self.wiring.items()}}
        variables = {f"RLAIFV_{self.name}_{setting}".upper(): value for setting, value in values.items()}
        if self.threads:
            for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
                variables[name] = str(self.threads)
        return {"TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"} | variables


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long the supervisor waits, seconds, and how often it restarts one service within a minute."""

    start_s: float = 180.0
    drain_s: float = 10.0
    first_pause_s: float = 0.2
    restarts: int = 5


class LocalProcess:
    """One process and the files about it."""

    def __init__(self, service: LocalService, folder: Path, patience: Patience) -> None:
        self.name = service.name
        self._service = service
        self._patience = patience
        self._log = folder / f"{service.name}.log"
        self._ports_file = folder / f"{service.name}.ports.json"
        self._process: asyncio.subprocess.Process | None = None
        self._ports = {"grpc": 0, "metrics": 0}

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self._ports['grpc']}"

    @property
    def metrics_endpoint(self) -> str:
        return f"127.0.0.1:{self._ports['metrics']}"

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    async def start(self, endpoints: Endpoints) -> None:
        """Start and wait until it serves. Raises BackendFailed if it dies, DeadlineExceeded if it takes too long."""
        self._ports_file.unlink(missing_ok=True)
        environment = os.environ | self._service.environment(endpoints) | self._own_settings()
        module = self._service.module or f"services.{self.name}"
        with self._log.open("ab") as out:
            self._process = await asyncio.create_subprocess_exec(
                self._service.python or sys.executable, "-m", "rlaifv.adapters.tied_process", str(os.getpid()), module,
                env=environment, stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=out,
                # Its own session: Ctrl-C in a terminal reaches the supervisor only, which decides the order of stopping.
                start_new_session=True,
            )  # fmt: skip
        try:
            async with asyncio.timeout(self._patience.start_s):
                await self._bound()
                await self._serving()
        except TimeoutError as exc:
            raise DeadlineExceeded(
                f"{self.name} does not serve after {self._patience.start_s:g} s; its log: {self._log}{self._tail()}"
            ) from exc

    async def ended(self) -> int:
        """Waits for the end of the process; its exit code, negative for a signal."""
        assert self._process is not None
        return await self._process.wait()

    async def stop(self) -> None:
        """Let it drain; then take its whole session down."""
        if self._process is None:
            return
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), self._patience.drain_s + 2)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()

    def failure(self, what: str) -> BackendFailed:
        """An error that shows the end of the log."""
        return BackendFailed(f"{self.name} {what}; its log: {self._log}{self._tail()}")

    def _own_settings(self) -> dict[str, str]:
        prefix = f"RLAIFV_{self.name.upper()}_"
        given = self._service.settings
        own = {
            "HOST": "127.0.0.1",
            "PORTS_FILE": str(self._ports_file.absolute()),
            "DRAIN_S": f"{self._patience.drain_s}",
        }
        for kind, setting in (("grpc", "port"), ("metrics", "metrics_port")):
            own[setting.upper()] = str(self._ports[kind] or given.get(setting, 0))
        return {f"{prefix}{setting}": value for setting, value in own.items()}

    async def _bound(self) -> None:
        while True:
            self._raise_if_ended()
            with contextlib.suppress(FileNotFoundError, ValueError, KeyError):
                ports = json.loads(self._ports_file.read_text(encoding="utf-8"))
                self._ports = {"grpc": int(ports["grpc"]), "metrics": int(ports["metrics"])}
                return
            await asyncio.sleep(_POLL_S)

    async def _serving(self) -> None:
        async with open_channel(self.endpoint) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            while True:
                self._raise_if_ended()
                with contextlib.suppress(grpc.aio.AioRpcError):
                    answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=2)
                    if answer.status == health_pb2.HealthCheckResponse.SERVING:
                        return
                await asyncio.sleep(_POLL_S)

    def _raise_if_ended(self) -> None:
        if self._process is not None and self._process.returncode is not None:
            raise self.failure(f"ended while starting with {ending(self._process.returncode)}")

    def _tail(self) -> str:
        """The last lines of the log, each on its own line; "" if it is empty."""
        with contextlib.suppress(OSError), self._log.open("rb") as file:
            file.seek(max(0, self._log.stat().st_size - 8192))
            lines = file.read().decode("utf-8", "replace").strip().splitlines()[-_TAIL_LINES:]
            return "".join(f"\n    {line}" for line in lines)
        return ""


def ending(code: int) -> str:
    """An exit code in words; below 0 it is a signal."""
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
