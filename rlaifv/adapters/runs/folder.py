"""A run's artifacts in a folder: write-then-rename, so that a reader never sees half a file."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from rlaifv.adapters.files import storage_errors, sync
from rlaifv.core.errors import Conflict, NotFound


class FolderLock:
    """Keeps a folder for one process; the kernel gives it up with the process, however that ends."""

    def __init__(self, folder: Path, patience_s: float = 10.0) -> None:
        """Waits a little for a process that is about to end. Raises Conflict if the folder stays taken."""
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / ".lock").open("w")
        deadline = time.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError as exc:
                if time.monotonic() > deadline:
                    self._file.close()
                    raise Conflict(f"another orchestrator is at work in {folder}: use it, or another folder") from exc
                time.sleep(0.1)

    def close(self) -> None:
        """Give the folder up."""
        self._file.close()


class FolderArtifacts:
    """The files under `root`, which is made with the first write."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()

    def write(self, name: str, data: bytes) -> None:
        with self.writing(name) as file:
            file.write(data)

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        path = self._root / name
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            # A name of its own for each write: two attempts at one step must not mix their bytes.
            handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                os.chmod(temporary, 0o644)
                os.replace(temporary, path)
                sync([path.parent])
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary)
                raise

    def append(self, name: str, data: bytes) -> None:
        path = self._root / name
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                file.write(data)

    def read(self, name: str) -> bytes:
        path = self._root / name
        try:
            return path.read_bytes()
        except FileNotFoundError as exc:
            raise NotFound(f"{path}: there is no such file in the run's folder") from exc

    def exists(self, name: str) -> bool:
        return (self._root / name).exists()

    def uri(self, name: str) -> str:
        return str(self._root / name)
