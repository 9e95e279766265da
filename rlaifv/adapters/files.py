"""Files that are whole or not there: write-then-rename, synced to disk, and digests of what was written."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rlaifv.core.errors import StorageFull

_BLOCK = 1 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_digests: dict[tuple[str, int, int], str] = {}
_digests_lock = threading.Lock()


def file_digest(path: Path) -> str:
    """SHA-256 of a file, read once for each (path, modification time, size) in this process."""
    stat = path.stat()
    key = (str(path.resolve()), stat.st_mtime_ns, stat.st_size)
    with _digests_lock:
        known = _digests.get(key)
    if known is not None:
        return known
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    with _digests_lock:
        _digests[key] = digest.hexdigest()
    return digest.hexdigest()


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turns a full disk into StorageFull; other errors pass."""
    try:
        yield
    except Exception as exc:
        # Libraries in other languages (safetensors, Arrow) raise errors of their own with the system's words in them.
        full = isinstance(exc, OSError) and exc.errno in _FULL
        if not full and "No space left on device" not in str(exc):
            raise
        raise StorageFull(f"no room to write {path}: free some and resume; what was complete is kept") from exc


@contextmanager
def written_folder(target: Path) -> Iterator[Path]:
    """A temporary folder that becomes `target` when the block ends without error, and vanishes otherwise.

    An existing `target` is replaced. Files and folders are synced to disk before the rename. Raises StorageFull.
    """
    temporary = target.with_name(f".{target.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with storage_errors(target):
            temporary.mkdir(parents=True)
            yield temporary
            sync(temporary.iterdir())
            sync([temporary])
            _replace(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_file(path: Path, data: bytes) -> None:
    """Write-then-rename: `path` holds either its old content or all of `data`. Raises StorageFull."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(data)
            sync([temporary])
            temporary.replace(path)
            sync([path.parent])
    finally:
        temporary.unlink(missing_ok=True)


def sync(paths: Iterable[Path]) -> None:
    """Flush files or folders to disk."""
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _replace(source: Path, target: Path) -> None:
    if target.exists():
        old = target.with_name(f".{target.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        target.replace(old)
        source.replace(target)
        shutil.rmtree(old, ignore_errors=True)
    else:
        source.replace(target)
    sync([target.parent])
