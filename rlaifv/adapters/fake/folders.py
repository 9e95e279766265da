"""Model folders of the fakes: a config.json that says so. What the fake trainer writes, the fake policy and labeler load."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Final

from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.errors import Conflict, InvalidInput, NotFound

BUILT_IN: Final = "fake:"
"""URI of the checkpoint that needs no folder."""

_CONFIG: Final = "config.json"


def write_checkpoint(folder: Path, content: str) -> Checkpoint:
    """A checkpoint whose digest follows from `content`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _CONFIG).write_text(json.dumps({"model_type": "rlaifv-fake", "content": content}))
    return read_checkpoint(Checkpoint(uri=str(folder), digest=""))


def read_checkpoint(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint with its digest; raises NotFound, InvalidInput or Conflict as the Policy port says."""
    found = _digest(checkpoint.uri)
    if checkpoint.digest and checkpoint.digest != found:
        raise Conflict(f"checkpoint.digest = {checkpoint.digest!r} but the folder {checkpoint.uri!r} has {found!r}")
    return Checkpoint(uri=checkpoint.uri, digest=found)


def _digest(uri: str) -> str:
    if uri.startswith(BUILT_IN):
        return hashlib.sha256(uri.encode()).hexdigest()
    folder = Path(uri.removeprefix("file://"))
    if not folder.is_dir():
        raise NotFound(f"checkpoint.uri = {uri!r}: there is no such folder")
    if not (folder / _CONFIG).is_file():
        raise InvalidInput.field("checkpoint.uri", uri, "is no model folder: it needs config.json")
    return hashlib.sha256((folder / _CONFIG).read_bytes()).hexdigest()
