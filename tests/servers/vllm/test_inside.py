"""What only vLLM's own process sees: ids and pixels are those of all other services, failed loads are taken back."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.servers.vllm.service import PYTHON, ROOT

pytestmark = pytest.mark.servers

_RUN = """
import sys, pytest
from rlaifv.adapters.vllm.environment import prepare
prepare(on_cpu=True, threads=1)
if __name__ == "__main__":
    sys.exit(pytest.main(["-q", "-o", "filterwarnings=", "-p", "no:cacheprovider", "tests/servers/vllm/inside_vllm.py"]))
"""


def test_inside_vllm() -> None:
    done = subprocess.run(
        [str(PYTHON), "-c", _RUN], cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
