"""A policy service on vLLM as the process that it is in production, in the environment that has vLLM."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

ROOT = Path(__file__).parents[3]
PYTHON = (ROOT / os.environ.get("VLLM_VENV", ".venv-vllm") / "bin" / "python").absolute()
SMALL = {"vllm_kv_cache_bytes": str(64 * 2**20), "torch_threads": "1", "backend": "vllm", "drain_s": "2"}
"""Settings for a tiny model on shared cores."""


class VllmService:
    """One process; a restart keeps its port."""

    def __init__(self, folder: Path, model: Path, **settings: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.model = str(model)
        self._settings = SMALL | {"model": self.model, "health_interval_s": "0.2"} | settings
        self._process: subprocess.Popen[bytes] | None = None
        self._ports: dict[str, int] = {"grpc": 0, "metrics": 0}

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self._ports['grpc']}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def begin(self) -> None:
        """Start it; returns at once."""
        ports = self._folder / "ports.json"
        ports.unlink(missing_ok=True)
        own = {"ports_file": str(ports), "port": str(self._ports["grpc"])}
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RLAIFV_", "VLLM_"))}
        settings = {f"RLAIFV_POLICY_{name.upper()}": value for name, value in (self._settings | own).items()}
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(PYTHON), "-m", "services.policy"], cwd=ROOT, env=kept | settings, stdout=log, stderr=log
            )

    def serving(self, within_s: float = 150.0) -> None:
        """Wait until it answers."""
        deadline = time.monotonic() + within_s
        while not self._is_serving():
            assert self._process is not None
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.1)

    def ended(self, within_s: float = 30.0) -> int:
        """Wait for its end by itself; the exit code."""
        assert self._process is not None
        return self._process.wait(within_s)

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def terminate(self) -> int:
        """SIGTERM; the exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(30)

    def metrics(self) -> dict[str, float]:
        """The samples on its metrics port by name with labels."""
        with urlopen(f"http://127.0.0.1:{self._ports['metrics']}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}

    def log(self) -> str:
        """The end of its log."""
        return (self._folder / "log").read_text(errors="replace")[-6000:]

    def _is_serving(self) -> bool:
        ports: Any
        try:
            ports = json.loads((self._folder / "ports.json").read_text())
        except (FileNotFoundError, ValueError):
            return False
        self._ports = {"grpc": ports["grpc"], "metrics": ports["metrics"]}
        with grpc.insecure_channel(self.target) as channel:
            try:
                answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=2)
            except grpc.RpcError:
                return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def engines_of(pid: int) -> list[int]:
    """The engine processes that a service's process started, from whichever of its threads."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    return [child for child in children if b"EngineCore" in Path(f"/proc/{child}/cmdline").read_bytes()]


def alive(pid: int) -> bool:
    """Whether the process is there."""
    return Path(f"/proc/{pid}").exists()


@contextmanager
def running(folder: Path, model: Path, **settings: str) -> Iterator[VllmService]:
    """A service that answers, killed at the end."""
    service = VllmService(folder, model, **settings)
    try:
        service.begin()
        service.serving()
        yield service
    finally:
        service.kill()
