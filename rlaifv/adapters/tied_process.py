"""Runs a module as a program that dies with the process that started it, even if that one is killed with SIGKILL.

    python -m rlaifv.adapters.tied_process PARENT_PID MODULE [ARGUMENT ...]

A start in two steps, because the kernel's promise (PR_SET_PDEATHSIG) must be asked for by the child itself, and running Python
between fork and exec is not safe in a parent with gRPC threads.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys
import threading
import time

_PR_SET_PDEATHSIG = 1


def tie_to(parent: int, poll_s: float = 1.0) -> None:
    """End this process when `parent` ends. On Linux at once, by the kernel; elsewhere within `poll_s` seconds."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    else:
        threading.Thread(target=_end_without, args=(parent, poll_s), daemon=True).start()
    if os.getppid() != parent:  # it died before the promise was made
        os.kill(os.getpid(), signal.SIGKILL)


def _end_without(parent: int, poll_s: float) -> None:
    while os.getppid() == parent:
        time.sleep(poll_s)
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Tie this process to its parent and become the module."""
    parent, module, *arguments = sys.argv[1:]
    tie_to(int(parent))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
