"""What vLLM reads from the environment, set before it is imported; a value that the user set stays."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from rlaifv.adapters.torchvision_operators import make_importable

_ALWAYS: Final[Mapping[str, str]] = {
    # The engine's process is started while gRPC's threads run: a fork of them may hang.
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    # Nothing is fetched and nothing is reported: models are local folders.
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    # Its warnings at a start are about choices that are ours.
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
}
_ON_CPU: Final[Mapping[str, str]] = {
    # The worker lives in the engine's process instead of one more: half the memory, half the start.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_NUM_OF_RESERVED_CPU": "0",
    # Compiling stalls the first request for log-probabilities, and kills the engine where there is no C++ compiler.
    "TORCHDYNAMO_DISABLE": "1",
    # Threads that spin while they wait take the cores away from whoever else needs them.
    "OMP_WAIT_POLICY": "passive",
}


def prepare(on_cpu: bool, threads: int | None = None) -> None:
    """Call before the first import of vLLM. `threads` bounds the engine's threads on a CPU; None (or 0) leaves it to OpenMP."""
    wanted = {**_ALWAYS, **(_ON_CPU if on_cpu else {})}
    if on_cpu and threads:
        wanted["OMP_NUM_THREADS"] = str(threads)
    for name, value in wanted.items():
        os.environ.setdefault(name, value)
    make_importable()
