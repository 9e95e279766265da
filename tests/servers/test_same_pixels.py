"""The environments of the trainer, of vLLM and of Triton make the same bits of the same picture, for every family."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.families import FAMILIES
from tests.families.pictures import PICTURES

pytestmark = pytest.mark.servers

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = {".venv-vllm": "make vllm", ".venv-triton": "make triton"}


def digests(python: Path, folders: list[Path]) -> dict[str, dict[str, str]]:
    command = [str(python), "-m", "tests.families.pixels", *map(str, folders)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, dict[str, str]] = json.loads(done.stdout)
    return found


def test_same_pixels_and_tokens_in_every_environment(tmp_path: Path) -> None:
    folders = [make(tmp_path / name, 0) for name, make in FAMILIES.items()]
    stated = digests(Path(sys.executable), folders)
    assert {name: len(set(found.values())) for name, found in stated.items()} == dict.fromkeys(FAMILIES, len(PICTURES))
    for environment, remedy in ENVIRONMENTS.items():
        python = ROOT / environment / "bin" / "python"
        assert python.exists(), f"{python} is missing: run `{remedy}`"
        assert digests(python, folders) == stated, environment
