"""What the engine's process runs before vLLM: it stands in for the main module, which `spawn` imports first in a child.

The process ends with the service that started it, even if that is killed, and loads weights with our loader. On a CPU it must
declare torchvision's operators before vLLM imports them.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from rlaifv.adapters.tied_process import tie_to
from rlaifv.adapters.torchvision_operators import make_importable


@contextmanager
def begins_engine_processes() -> Iterator[None]:
    """Processes that multiprocessing spawns meanwhile run this module first."""
    main, stand_in = sys.modules["__main__"], ModuleType("__main__")
    stand_in.__spec__ = importlib.util.find_spec(__name__)
    sys.modules["__main__"] = stand_in
    try:
        yield
    finally:
        sys.modules["__main__"] = main


if __name__ == "__mp_main__":
    tie_to(os.getppid())
    make_importable()
    import rlaifv.adapters.vllm.loader  # noqa: F401 - it registers itself
