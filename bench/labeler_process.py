"""A side of the labeler bench in a process of its own, asked over a Unix socket: start-up lies outside of what is timed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Client, Listener
from pathlib import Path
from typing import Any

from bench.scenes import AskedPicture
from rlaifv.core.errors import BackendFailed

Asked = list[tuple[bytes, list[str]]]
Probabilities = list[tuple[float, float]]

_START_S = 180.0
_STOP_S = 20.0
_KEY = b"labeler-bench"


class ChildProcess:
    """`python -m module ADDRESS arguments`, which connects to ADDRESS once it is ready (`serve`, or `ready`)."""

    def __init__(self, python: str, module: str, arguments: Sequence[str], threads: int) -> None:
        """Blocking. Raises BackendFailed where the process ends instead; its own lines, on stderr, say why."""
        self._folder = tempfile.TemporaryDirectory(prefix="labeler-bench-")
        address = str(Path(self._folder.name) / "socket")
        limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        with Listener(address, family="AF_UNIX", authkey=_KEY) as listener:
            self._process = subprocess.Popen(
                [python, "-m", module, address, *arguments],
                env={**os.environ, **limits},
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr,
            )
            socket: Any = listener._listener._socket  # type: ignore[attr-defined]  # no public time-out
            socket.settimeout(1.0)
            self._connection = self._accept(listener, module)

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, message: Any) -> Any:
        """Send a message; the reply. Raises BackendFailed where the process has ended."""
        try:
            self._connection.send(message)
            return self._connection.recv()
        except (EOFError, OSError) as error:
            raise BackendFailed("a side's process ended: its lines on stderr say why") from error

    def cpu_seconds(self) -> float:
        """CPU time of the process and all its descendants so far."""
        return tree_cpu_seconds(self.pid)

    def close(self) -> None:
        """Ends it: the closed connection asks it to."""
        self._connection.close()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    def _accept(self, listener: Listener, module: str) -> Any:
        for _ in range(int(_START_S)):
            with suppress(TimeoutError):
                return listener.accept()
            if self._process.poll() is not None:
                raise BackendFailed(f"{module} ended with code {self._process.returncode}: its lines on stderr say why")
        self._process.kill()
        raise BackendFailed(f"{module} was not ready after {_START_S:.0f} s")


def serve(address: str, answer: Callable[[Any], Any]) -> None:
    """The child's side: answer messages until the parent closes the connection."""
    with Client(address, family="AF_UNIX", authkey=_KEY) as connection, suppress(EOFError):
        while True:
            connection.send(answer(connection.recv()))


def plain(pictures: Sequence[AskedPicture]) -> Asked:
    """Pictures as they travel to a child, which needs none of this project's types."""
    return [(one.image.data, one.questions) for one in pictures]


def tree_cpu_seconds(root: int) -> float:
    """CPU time of a process, its living descendants and their children that have ended (/proc; ticks of 10 ms)."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            pid = int(path.parent.name)
            parents[pid], ticks[pid] = int(fields[1]), sum(int(used) for used in fields[11:15])
    wanted, found = {root}, set[int]()
    while wanted:
        found |= wanted
        wanted = {pid for pid, parent in parents.items() if parent in wanted} - found
    return sum(ticks.get(pid, 0) for pid in found) / os.sysconf("SC_CLK_TCK")
