"""transformers without its progress bars and chatter on stderr, where a service loads or writes a model; errors still raise."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from transformers.utils import logging as transformers_logging

_lock = threading.Lock()
_inside = 0
_level = logging.WARNING


@contextmanager
def quiet() -> Iterator[None]:
    """For the whole process, until the last of the blocks ends that run at the same time."""
    global _inside, _level
    with _lock:
        if _inside == 0:
            _level = transformers_logging.get_verbosity()
            transformers_logging.set_verbosity(logging.ERROR)
            transformers_logging.disable_progress_bar()
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                transformers_logging.set_verbosity(_level)
                transformers_logging.enable_progress_bar()
