"""Our launcher with a real tritonserver under it, in the environment that `make triton` makes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

PYTHON: Final = Path(os.environ.get("TRITON_VENV", ".venv-triton")).absolute() / "bin" / "python"
_START_S: Final = 120.0


class Launched:
    """The launcher as a supervisor runs it: tied to this process, and started again on the same ports when it ends."""

    def __init__(self, model: Path, folder: Path, **settings: str) -> None:
        self.model = model
        self.log = folder / "triton.log"
        self.restarts = 0
        self._folder = folder
        self._settings = settings
        self._ports = {"grpc": 0, "metrics": 0}
        self._process: asyncio.subprocess.Process | None = None
        self._keeping: asyncio.Task[None] | None = None

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self._ports['grpc']}"

    @property
    def metrics_port(self) -> int:
        return self._ports["metrics"]

    @property
    def launcher(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def server(self) -> int:
        """Process id of tritonserver."""
        (child,) = children(self.launcher)
        return child

    @property
    def stub(self) -> int:
        """Process id of the Python backend's process, which holds the model."""
        (child,) = children(self.server)
        return child

    async def start(self) -> None:
        """Returns once the model answers."""
        ports_file = self._folder / "ports.json"
        ports_file.unlink(missing_ok=True)
        await self.spawn({"RLAIFV_TRITON_PORTS_FILE": str(ports_file)})
        async with asyncio.timeout(_START_S):
            while not ports_file.exists():
                assert self._process is not None
                assert self._process.returncode is None, self.log.read_text()[-4000:]
                await asyncio.sleep(0.05)
        self._ports = {name: port for name, port in json.loads(ports_file.read_text()).items() if name != "pid"}

    async def spawn(self, variables: dict[str, str]) -> asyncio.subprocess.Process:
        """Start the launcher and do not wait."""
        chosen = {f"RLAIFV_TRITON_{name.upper()}": value for name, value in self._settings.items()}
        ports = {
            "RLAIFV_TRITON_PORT": str(self._ports["grpc"]),
            "RLAIFV_TRITON_METRICS_PORT": str(self._ports["metrics"]),
        }
        environment = {"RLAIFV_TRITON_MODEL": str(self.model), "OMP_NUM_THREADS": "1"} | ports | chosen | variables
        with self.log.open("ab") as out:
            self._process = await asyncio.create_subprocess_exec(
                PYTHON, "-m", "rlaifv.adapters.tied_process", str(os.getpid()), "rlaifv.adapters.triton.server",
                env=os.environ | environment, stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=out,
            )  # fmt: skip
        return self._process

    def keep(self) -> None:
        """From now on start it again whenever it ends."""
        self._keeping = asyncio.create_task(self._keep())

    async def ended(self) -> int:
        """Waits for the launcher's end; its exit code."""
        assert self._process is not None
        return await self._process.wait()

    async def stop(self) -> int:
        """SIGTERM, and the exit code."""
        if self._keeping:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        if self._process is None:
            return 0
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self._process.wait(), 30)

    async def _keep(self) -> None:
        while True:
            await self.ended()
            self.restarts += 1
            await self.start()


@asynccontextmanager
async def launched(model: Path, folder: Path, **settings: str) -> AsyncIterator[Launched]:
    """A Triton whose model answers; `settings` are RLAIFV_TRITON_* in lower case. Stopped at the end."""
    triton = Launched(model, folder, **{"drain_s": "5", "liveness_interval_s": "0.5"} | settings)
    try:
        await triton.start()
        yield triton
    finally:
        await triton.stop()


def in_own_loop(model: Path, folder: Path) -> Iterator[Launched]:
    """For fixtures that many tests share: started and stopped in event loops of its own."""
    with asyncio.Runner() as runner:
        context = launched(model, folder)
        triton = runner.run(context.__aenter__())
        yield triton
        runner.run(context.__aexit__(None, None, None))


def children(pid: int) -> list[int]:
    """Process ids of the children that have not ended."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    threads = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    found = {int(child) for child in [*listed, *(child for thread in threads for child in thread)]}
    return sorted(child for child in found if running(child))


def running(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Blocking; fails after `seconds`."""
    import time

    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
