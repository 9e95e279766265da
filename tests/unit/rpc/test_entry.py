"""How a service ends that cannot begin."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from rlaifv.rpc.entry import FAILED

SERVICE = """
import sys
from rlaifv.rpc.entry import run_service
from rlaifv.rpc.settings import ServiceSettings

async def serve(settings):
    raise ModuleNotFoundError(f"No module named {sys.argv[1]!r}", name=sys.argv[1])

sys.exit(run_service("labeler", ServiceSettings, serve, []))
"""


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("tritonclient.grpc", "needs tritonclient.grpc, which is not installed: pip install 'rlaifv[triton]'"),
        ("vllm", "needs vllm, which is not installed: pip install 'rlaifv[vllm]'"),
        ("no_part_of_ours", "unexpectedly"),
    ],
)
def test_a_backend_whose_library_is_missing_says_what_to_install(module: str, words: str) -> None:
    # In a process of its own: it sets up logging for the whole of it.
    ended = subprocess.run([sys.executable, "-c", SERVICE, module], capture_output=True, text=True, timeout=60)
    assert ended.returncode == FAILED
    last = json.loads(ended.stderr.splitlines()[-1])
    assert words in f"{last['event']} {last.get('error', '')}"
