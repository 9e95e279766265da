"""Digests of what the processors of model folders make of pictures, for comparing environments:

    python -m tests.families.pixels FOLDER...

prints JSON: by folder name and picture, the SHA-256 over every tensor's name, shape, number format and bytes, and the token ids.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

from torch import Tensor

from rlaifv.adapters.huggingface.chat import ChatFormat
from rlaifv.adapters.huggingface.loading import load_processor
from rlaifv.adapters.images import decode
from tests.families.pictures import PICTURES

TEXT = "What do you see in this image?"


def digest(tensors: dict[str, Tensor]) -> str:
    """Of a picture's tensors, to the bit."""
    found = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\0".encode())
        found.update(tensor.contiguous().numpy().tobytes())
    return found.hexdigest()


def digests(folder: Path) -> dict[str, str]:
    """By picture."""
    chat = ChatFormat(load_processor(folder))
    rendered = chat.render(TEXT)
    found = {}
    for name, data in PICTURES.items():
        prepared = chat.prepare(decode(data))
        found[name] = f"{digest(prepared.inputs)} {chat.prompt_ids(rendered, prepared)}"
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps({Path(folder).name: digests(Path(folder)) for folder in sys.argv[1:]}))
