"""A run's artifacts in a folder: write-then-rename, so that a reader never sees half a file."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from rlaifv.adapters.files import storage_errors, sync
from rlaifv.core.errors import NotFound


class FolderArtifacts:
    """The files under `root`, which is made with the first write."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()

    def write(self, name: str, data: bytes) -> None:
        path = self._root / name
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            # A name of its own for each write: two attempts at one step must not mix their bytes.
            handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
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
