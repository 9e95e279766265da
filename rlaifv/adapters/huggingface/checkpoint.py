"""Model folders: their digest (which is their version) and whether they are whole.

A folder holds a whole model, or a LoRA adapter (peft's `adapter_config.json` and `adapter_model.safetensors`) whose
`base_model_name_or_path` names the folder of the model it was trained on: absolute, or relative to the adapter's folder.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from safetensors import SafetensorError, safe_open

from rlaifv.adapters.files import file_digest
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.errors import Conflict, DataLoss, InvalidInput, NotFound

WEIGHTS_INDEX = "model.safetensors.index.json"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
_SUFFIXES = {".safetensors", ".json", ".jinja", ".model", ".txt", ".tiktoken"}


def folder_of(uri: str) -> Path:
    """The local folder a checkpoint URI names (a path or file://). Raises NotFound if there is none."""
    path = Path(uri.removeprefix("file://"))
    if not path.is_dir():
        raise NotFound(f"checkpoint.uri = {uri!r}: there is no such folder")
    return path


def model_files(folder: Path) -> list[Path]:
    """The files that decide what the model says: weights, config, tokenizer and processor files, sorted by name."""
    return sorted(p for p in folder.iterdir() if p.is_file() and p.suffix in _SUFFIXES and not p.name.startswith("."))


def is_adapter(folder: Path) -> bool:
    """Whether the folder holds a LoRA adapter instead of a whole model."""
    return (folder / ADAPTER_CONFIG).is_file() and not (folder / "config.json").is_file()


def adapter_base(folder: Path) -> Path:
    """The folder of the model that a LoRA adapter goes on. Raises InvalidInput where the adapter names none that is there."""
    field = f"{ADAPTER_CONFIG}: base_model_name_or_path"
    try:
        named = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8")).get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError) as exc:
        raise DataLoss(f"adapter folder {folder}: {ADAPTER_CONFIG} is damaged ({exc}); copy it again") from exc
    base = (folder / str(named)).resolve() if named else folder
    if is_adapter(base) or not base.is_dir():
        raise InvalidInput.field(field, named, f"must name the folder of a whole model (adapter folder {folder})")
    return base


def model_digest(folder: Path) -> str:
    """SHA-256 over names and contents of `model_files`, and for an adapter over its base's digest too.

    Raises InvalidInput where the folder holds no model.
    """
    files = model_files(folder)
    names = {path.name for path in files}
    digest = hashlib.sha256()
    if is_adapter(folder):
        if ADAPTER_WEIGHTS not in names:
            raise InvalidInput.field("checkpoint.uri", str(folder), f"is a LoRA adapter without {ADAPTER_WEIGHTS}")
        digest.update(f"base\0{model_digest(adapter_base(folder))}\n".encode())
    elif "config.json" not in names or not any(name.endswith(".safetensors") for name in names):
        raise InvalidInput.field(
            "checkpoint.uri", str(folder), "is no Hugging Face model folder: it needs config.json and *.safetensors"
        )
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
    if is_adapter(folder):
        check_weight_files(adapter_base(folder))
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
