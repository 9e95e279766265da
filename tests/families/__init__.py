"""Tiny models of the families that people align: random weights, built in process, each with its family's own processor,
image processor, chat template and weight names as the hub's checkpoints of that family have them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import rlaifv.adapters.huggingface  # noqa: F401 - makes torchvision importable, before anything imports transformers
from tests.families.gemma import save_gemma3
from tests.families.idefics import save_idefics3, save_smolvlm
from tests.families.internvl import save_internvl
from tests.families.llava import save_llava, save_llava_next
from tests.families.qwen import save_qwen2_5_vl, save_qwen3_vl

FAMILIES: Final[dict[str, Callable[[Path, int], Path]]] = {
    "llava": save_llava,
    "llava_next": save_llava_next,
    "qwen2_5_vl": save_qwen2_5_vl,
    "qwen3_vl": save_qwen3_vl,
    "idefics3": save_idefics3,
    "smolvlm": save_smolvlm,
    "internvl": save_internvl,
    "gemma3": save_gemma3,
}
"""By name: writes a model folder (folder, seed) and returns it. Under a second each."""
