"""The loop on real model servers: vLLM answers, Triton labels, both are killed in mid-run, and the run ends the same."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from demo.world.datasets import write_prompt_sets

pytestmark = [pytest.mark.servers, pytest.mark.timeout(1200)]

ROOT = Path(__file__).parents[2]
CHECKPOINTS = ROOT / "demo" / "checkpoints"
ON_SERVERS = ["--set", "policy.backend=vllm", "--set", "labeler.backend=triton"]
RUN = f"""
name: small
seed: 3
labeler: stronger
policy: {CHECKPOINTS / "policy"}
prompts: {{train: train.parquet, validation: validation.parquet, evaluation: evaluation.parquet}}
iterations: 1
prompts_per_iteration: 16
candidates: 6
sampling: {{temperature: 1.0, max_new_tokens: 48}}
training: {{learning_rate: 1.0e-4, epochs: 1, batch_size: 4, micro_batch_size: 4, precision: fp32}}
shard_prompts: 4
local: {{labeler_model: {CHECKPOINTS / "stronger"}}}
"""
"""Validation asks both policies, so vLLM takes over the trained weights, promoted or not."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prompts and the run file."""
    folder = tmp_path_factory.mktemp("world")
    write_prompt_sets(folder, seed=11, train=16, validation=6, evaluation=6)
    (folder / "small.yaml").write_text(RUN, encoding="utf-8")
    return folder


def start(world: Path, runs: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "rlaifv.cli", "run", str(world / "small.yaml"), *ON_SERVERS, "--json"]
    return subprocess.Popen(
        [*command, "--runs", str(world / runs)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finished(run: subprocess.Popen[str], within_s: float = 900) -> dict[str, Any]:
    """What the command printed; it must have ended well."""
    try:
        out, err = run.communicate(timeout=within_s)
    finally:
        run.kill()
    assert run.returncode == 0, f"{out}\n{err}"
    found: dict[str, Any] = json.loads(out)
    return found


def digests(run_folder: Path) -> dict[str, str]:
    """SHA-256 of the pairs and of the trained weights."""
    files = [*run_folder.rglob("pairs.parquet"), *run_folder.rglob("model/*.safetensors")]
    assert len(files) == 2
    return {str(path.relative_to(run_folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def pid_of(run_folder: Path, service: str) -> int:
    """Process id of a service that the run started."""
    return int(json.loads((run_folder / "logs" / f"{service}.ports.json").read_text(encoding="utf-8"))["pid"])


def wait_until(run: subprocess.Popen[str], condition: Callable[[], bool], within_s: float = 300) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert run.poll() is None, run.communicate()
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def shards(run_folder: Path) -> int:
    return len(list(run_folder.glob("iterations/1/shards/*.parquet")))


@pytest.fixture(scope="module")
def undisturbed(world: Path) -> Path:
    """The run's folder when nothing happens."""
    finished(start(world, "undisturbed"))
    return world / "undisturbed" / "small"


def test_the_run_finds_pairs_and_asks_the_trained_weights(undisturbed: Path) -> None:
    summary = json.loads((undisturbed / "summary.json").read_text(encoding="utf-8"))
    start, trained = summary["rounds"]
    assert trained["pairs"] > 0
    assert trained["trained_version"] != start["policy_version"]
    validation = json.loads((undisturbed / "iterations" / "1" / "validation.json").read_text(encoding="utf-8"))
    assert validation["trained"]["digest"] == trained["trained_version"]
    assert validation["before"]["answers"] == validation["after"]["answers"] == 6


def test_killed_servers_come_back_and_nothing_is_lost_or_changed(undisturbed: Path, world: Path) -> None:
    run = start(world, "disturbed")
    folder = world / "disturbed" / "small"
    for complete, victim in ((0, "policy"), (1, "triton"), (2, "policy")):
        wait_until(run, lambda: (folder / "iterations" / "1").exists() and shards(folder) >= complete)  # noqa: B023
        os.kill(pid_of(folder, victim), signal.SIGKILL)
    finished(run)
    assert digests(folder) == digests(undisturbed)
    deaths = (folder / "logs" / "policy.log").read_text(encoding="utf-8").count('"event": "serving"')
    assert deaths >= 2
