"""What this machine is and what it can do at most: the yardstick that speeds are stated against."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def description() -> str:
    """One line: processor, cores, memory, and the versions that matter."""
    names = [line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    kib = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    processor = names[0] if names else platform.processor()
    return (
        f"{processor}, {os.cpu_count()} cores, {kib / 2**20:.0f} GiB, Python {platform.python_version()}, "
        f"torch {torch.__version__} ({torch.backends.cpu.get_cpu_capability()})"
    )


def matrix_rate(dtype: torch.dtype, size: int = 1024, repetitions: int = 12) -> float:
    """FLOP/s of a square matrix product with torch's present number of threads; the best of several, after a warm-up."""
    left, right = (torch.randn(size, size).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(repetitions):
        began = time.perf_counter()
        torch.matmul(left, right)
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best


class PeakMemory:
    """Growth of resident memory from the start of a `with` block to its peak, MiB in `mib`; Linux only."""

    mib = 0.0

    def __enter__(self) -> PeakMemory:
        self._before = _kib("VmRSS")
        _CLEAR.write_text("5")  # forget the peak so far
        return self

    def __exit__(self, *error: object) -> None:
        self.mib = max(0.0, (_kib("VmHWM") - self._before) / 1024)


def in_fresh_process(module: str, arguments: Sequence[str]) -> Any:
    """What `python -m module arguments` prints as its last line, as JSON: memory is measured where nothing else ran."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True, check=True, env=dict(os.environ)
    )
    return json.loads(done.stdout.strip().splitlines()[-1])


def _kib(name: str) -> int:
    return next(int(line.split()[1]) for line in _lines(str(_STATUS)) if line.startswith(f"{name}:"))


def _lines(path: str) -> list[str]:
    found = Path(path)
    return found.read_text().splitlines() if found.is_file() else []
