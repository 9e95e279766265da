"""The five services as real processes with fake backends, to be killed and started again on their ports."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from rlaifv.adapters.runs.ledger import Ledger
from rlaifv.adapters.runs.records import RunRecord
from rlaifv.core.errors import NotFound, Unavailable

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class ServiceProcess:
    """One service; it keeps its port over restarts."""

    def __init__(self, name: str, folder: Path, settings: dict[str, str]) -> None:
        self.name = name
        self._log = folder / f"{name}.log"
        self._settings = {"drain_s": "1", **settings}
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def begin(self) -> None:
        """Start the process; it takes calls some time later."""
        prefix = f"RLAIFV_{self.name.upper()}_"
        settings = self._settings | {"port": str(self.port)}
        environment = os.environ | {f"{prefix}{key.upper()}": value for key, value in settings.items()}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "error", "-m", f"services.{self.name}"],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """SIGKILL, as a power cut."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def terminate(self) -> int:
        """SIGTERM; the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout=20)

    def restart(self) -> None:
        """Kill it and start it again; nobody waits until it is up."""
        self.kill()
        self.begin()

    def log(self) -> str:
        """The end of its log."""
        return self._log.read_text(errors="replace")[-4000:]


class Services:
    """All five, with fakes that are slow enough to be met at work."""

    def __init__(self, folder: Path, *, latency_ms: float, step_ms: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.runs = folder / "runs"
        fake = {"backend": "fake", "fake_latency_ms": str(latency_ms)}
        settings = {
            "policy": fake,
            "decomposer": {"backend": "fake"},
            "labeler": fake | {"decomposer": "fake"},
            "trainer": {"backend": "fake", "fake_step_ms": str(step_ms), "fake_steps": "5"},
        }
        self.processes = {name: ServiceProcess(name, folder, values) for name, values in settings.items()}
        targets = {f"{name}_target": process.target for name, process in self.processes.items()}
        self.orchestrator = ServiceProcess("orchestrator", folder, {"runs_folder": str(self.runs), **targets})
        self.processes["orchestrator"] = self.orchestrator

    def __enter__(self) -> Services:
        for process in self.processes.values():
            process.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.processes.values():
            process.kill()

    def record(self, name: str) -> RunRecord | None:
        """The run in the ledger, read past the orchestrator; None while there is none."""
        ledger = Ledger(f"sqlite:///{self.runs / '.ledger.sqlite'}")
        try:
            return ledger.run(name)
        except (NotFound, Unavailable):
            return None
        finally:
            ledger.close()
