"""tritonserver as a child of the launcher: started with the labeler, tied to it, ended with everything that it left."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Final

from rlaifv.adapters.triton.installation import Installation, find_repository, find_tritonserver
from rlaifv.adapters.triton.settings import TritonSettings

_SHARED_MEMORY: Final = Path("/dev/shm")
_SHARED_PREFIX: Final = "rlaifv_labeler_"
_EXIT_MARGIN_S: Final = 2.0
_LOG_FLAGS: Final = {"error": (), "warning": ("warning",), "info": ("warning", "info"), "debug": ("warning", "info")}


class TritonProcess:
    """Make it with `start`."""

    def __init__(self, process: asyncio.subprocess.Process, settings: TritonSettings, ports: tuple[int, int]) -> None:
        self._process = process
        self._settings = settings
        self.grpc_port, self.metrics_port = ports

    @classmethod
    async def start(cls, settings: TritonSettings, folder: Path) -> TritonProcess:
        """Start it; `folder` is an empty one for its use. Raises NotFound where there is no server or no repository."""
        installation = find_tritonserver(folder)
        repository = find_repository(settings.repository)
        remove_shared_memory()
        ports = (settings.port or free_port(settings.host), settings.metrics_port or free_port(settings.host))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "rlaifv.adapters.triton.tied_program", str(os.getpid()),
            *command(settings, installation, repository, ports),
            env={**os.environ, **installation.environment},
            stdin=asyncio.subprocess.DEVNULL,
            # Its own session, so that its stub ends with it and a terminal's Ctrl-C reaches the launcher only.
            start_new_session=True,
        )  # fmt: skip
        return cls(process, settings, ports)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ended(self) -> int:
        """Waits for its end; the exit code, negative for a signal."""
        return await self._process.wait()

    async def drain(self) -> None:
        """Let requests in flight end, as long as the settings say; then kill it."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), self._settings.drain_s + _EXIT_MARGIN_S)
        await self.kill()

    async def kill(self) -> None:
        """End it and its stub at once, and free the shared memory that they leave behind; safe to call again."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        remove_shared_memory(os.getpid())


def command(
    settings: TritonSettings, installation: Installation, repository: Path, ports: tuple[int, int]
) -> list[str]:
    """Program and arguments; `ports` are those of gRPC and metrics."""
    flags = _LOG_FLAGS[settings.log_level]
    return [
        str(installation.binary),
        *installation.arguments,
        f"--model-repository={repository}",
        "--model-control-mode=explicit",
        "--load-model=labeler",
        # Else a stub of its own is started only to be asked for a configuration that is there already.
        "--disable-auto-complete-config",
        "--allow-http=false",
        f"--grpc-address={settings.host}",
        f"--grpc-port={ports[0]}",
        f"--metrics-address={settings.host}",
        f"--metrics-port={ports[1]}",
        f"--exit-timeout-secs={max(1, round(settings.drain_s))}",
        f"--backend-config=python,shm-region-prefix-name={_SHARED_PREFIX}{os.getpid()}_",
        *(f"--log-{kind}={str(kind in flags).lower()}" for kind in ("info", "warning")),
        f"--log-verbose={int(settings.log_level == 'debug')}",
    ]


def free_port(host: str) -> int:
    """A port that was free a moment ago: Triton cannot be told to choose one itself."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as found:
        found.bind((host, 0))
        return int(found.getsockname()[1])


def remove_shared_memory(owner: int | None = None) -> None:
    """Remove what the Triton of the launcher `owner` (None: of any that is dead) left: after SIGKILL nobody else does."""
    for region in _SHARED_MEMORY.glob(f"{_SHARED_PREFIX}*"):
        launcher = int(region.name.removeprefix(_SHARED_PREFIX).partition("_")[0])
        if launcher == owner or not Path(f"/proc/{launcher}").exists():
            region.unlink(missing_ok=True)
