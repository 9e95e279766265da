"""Model folders: their digest (which is their version), whether they are whole, and writing one without half-done states."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError, safe_open

from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.errors import Conflict, DataLoss, InvalidInput, NotFound, StorageFull

WEIGHTS_INDEX = "model.safetensors.index.json"
_SUFFIXES = {".safetensors", ".json", ".jinja", ".model", ".txt", ".tiktoken"}
_BLOCK = 1 << 20

_digests: dict[tuple[str, int, int], str] = {}
_digests_lock = threading.Lock()


def folder_of(uri: str) -> Path:
    """The local folder a checkpoint URI names (a path or file://). Raises NotFound if there is none."""
    path = Path(uri.removeprefix("file://"))
    if not path.is_dir():
        raise NotFound(f"checkpoint.uri = {uri!r}: there is no such folder")
    return path


def model_files(folder: Path) -> list[Path]:
    """The files that decide what the model says: weights, config, tokenizer and processor files, sorted by name."""
    return sorted(p for p in folder.iterdir() if p.is_file() and p.suffix in _SUFFIXES and not p.name.startswith("."))


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


def model_digest(folder: Path) -> str:
    """SHA-256 over names and contents of `model_files`. Raises InvalidInput where the folder holds no model."""
    files = model_files(folder)
    names = {path.name for path in files}
    if "config.json" not in names or not any(name.endswith(".safetensors") for name in names):
        raise InvalidInput.field(
            "checkpoint.uri", str(folder), "is no Hugging Face model folder: it needs config.json and *.safetensors"
        )
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.name}\0{file_digest(path)}\n".encode())
    return digest.hexdigest()


def checkpoint_at(folder: Path) -> Checkpoint:
    """The checkpoint in a folder, with its digest."""
    return Checkpoint(uri=str(folder), digest=model_digest(folder))


def verified_folder(checkpoint: Checkpoint) -> Path:
    """The folder of a checkpoint, its weights whole and its digest as stated (an empty digest is not compared).

    Raises NotFound, InvalidInput, DataLoss (a truncated or missing weight file) or Conflict (another digest).
    """
    folder = folder_of(checkpoint.uri)
    digest = model_digest(folder)
    check_weight_files(folder)
    if checkpoint.digest and checkpoint.digest != digest:
        raise Conflict(f"checkpoint.digest = {checkpoint.digest!r} but the folder {checkpoint.uri!r} has {digest!r}")
    return folder


def check_weight_files(folder: Path) -> None:
    """Raises DataLoss where a weight file is truncated or one that the index names is missing."""
    index = folder / WEIGHTS_INDEX
    present = {path.name for path in folder.glob("*.safetensors")}
    if index.exists():
        missing = set(json.loads(index.read_text())["weight_map"].values()) - present
        if missing:
            raise DataLoss(f"model folder {folder}: {sorted(missing)[0]} is missing; copy the folder again")
    for name in sorted(present):
        try:
            with safe_open(str(folder / name), framework="pt") as file:
                file.keys()
        except (SafetensorError, OSError, ValueError) as exc:
            raise DataLoss(f"model folder {folder}: {name} is damaged ({exc}); copy it again") from exc


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turns a full disk into StorageFull; other errors pass."""
    try:
        yield
    except (OSError, SafetensorError) as exc:
        full = getattr(exc, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(exc)
        if not full:
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
