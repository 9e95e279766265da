"""kill -9 of any service at any point: the run goes on by itself and ends as one that nobody touched."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
from pathlib import Path
from typing import Any

import pytest

from rlaifv.adapters.orchestrator_client import orchestrator_at
from rlaifv.adapters.runs.records import RunPhase
from rlaifv.core.errors import Unavailable
from services.orchestrator.loop import InProcess, run_loop
from tests.e2e.processes import Services
from tests.unit.orchestrator.scripted_world import open_context, run_yaml, write_world

STAGES = ("", "evaluating", "collecting", "pairing", "training", "validating", "evaluating", "done")
_PATIENCE_S = 90.0
SEED = 13
"""With it the scripted world promotes one round and not the other."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prompts, and the run's results when nothing happens, in one process."""
    folder = tmp_path_factory.mktemp("world")
    write_world(folder)
    undisturbed(folder, "undisturbed")
    assert [item["promoted"] for item in rounds(folder / "undisturbed" / "tiny")] == [True, True, False]
    return folder


def undisturbed(folder: Path, runs: str, **changes: Any) -> None:
    """The run in one process, from its beginning to its end."""
    context = open_context(folder, runs=runs, seed=SEED, **changes)
    asyncio.run(run_loop(context, InProcess()))
    context.ledger.close()


def rounds(run_folder: Path) -> list[dict[str, Any]]:
    """The summary's rounds but for what depends on the clock or on which reports of the trainer were seen."""
    summary = json.loads((run_folder / "summary.json").read_text())
    return [
        {key: value for key, value in item.items() if key not in ("stage_seconds", "training")}
        for item in summary["rounds"]
    ]


def file_digests(run_folder: Path) -> dict[str, str]:
    """SHA-256 of every pair, shard and evaluation file."""
    return {
        str(path.relative_to(run_folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(run_folder.rglob("*.parquet"))
    }


async def begin(services: Services, world: Path, **changes: Any) -> None:
    """Start the run as soon as the orchestrator lets calls in."""
    async with orchestrator_at(services.orchestrator.target) as client:
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                await client.start("tiny", run_yaml(seed=SEED, **changes), str(world))
                return
            except Unavailable:
                assert time.monotonic() < deadline, services.orchestrator.log()
                await asyncio.sleep(0.1)


def place(iteration: int, stage: str) -> tuple[int, int]:
    """A point of the run, comparable with others."""
    return iteration, STAGES.index(stage, 2 if iteration else 0)


def wait_for(services: Services, iteration: int, stage: str) -> None:
    """Until the run is at the stage or past it."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        record = services.record("tiny")
        if record is not None:
            assert record.phase is not RunPhase.FAILED, record.message
            if place(record.progress.iteration, record.progress.stage) >= place(iteration, stage):
                return
        assert time.monotonic() < deadline, services.orchestrator.log()
        time.sleep(0.005)


def wait_for_end(services: Services) -> None:
    """Until the run is done."""
    deadline = time.monotonic() + _PATIENCE_S
    while (record := services.record("tiny")) is None or record.phase is not RunPhase.DONE:
        assert record is None or record.phase is not RunPhase.FAILED, record.message
        assert time.monotonic() < deadline, services.orchestrator.log()
        time.sleep(0.05)
    # The summary follows the ledger.
    while json.loads((services.runs / "tiny" / "summary.json").read_text())["phase"] != "done":
        assert time.monotonic() < deadline, services.orchestrator.log()
        time.sleep(0.05)


def assert_as_undisturbed(services: Services, world: Path, runs: str = "undisturbed") -> None:
    expected = world / runs / "tiny"
    assert file_digests(services.runs / "tiny") == file_digests(expected)
    assert rounds(services.runs / "tiny") == rounds(expected)


def test_killed_in_every_stage_the_run_ends_as_if_nothing_had_happened(world: Path, tmp_path: Path) -> None:
    chance = random.Random(20240527)
    kills = [
        (1, "collecting", ["labeler", "decomposer"]),
        (1, "collecting", ["orchestrator"]),
        (1, "pairing", ["orchestrator"]),
        (1, "training", ["orchestrator", "trainer"]),
        (1, "validating", ["policy", "orchestrator"]),
        (1, "evaluating", ["orchestrator"]),
        (2, "collecting", ["policy"]),
    ]
    with Services(tmp_path, latency_ms=30, step_ms=100) as services:
        asyncio.run(begin(services, world))
        for iteration, stage, names in kills:
            wait_for(services, iteration, stage)
            time.sleep(chance.uniform(0.0, 0.02 if stage == "pairing" else 0.2))
            for name in names:
                if (name, stage) == ("orchestrator", "evaluating"):
                    # A polite end must be survived as well as a rude one.
                    assert services.orchestrator.terminate() == 0, services.orchestrator.log()
                services.processes[name].restart()
        wait_for_end(services)
        assert_as_undisturbed(services, world)


def test_killed_while_a_round_trains_and_the_next_is_collected(world: Path, tmp_path: Path) -> None:
    """With staleness 1, answers of the next round come from the weights this one started from, killed or not."""
    undisturbed(world, "stale", max_staleness=1)
    stale, fresh = (file_digests(world / runs / "tiny") for runs in ("stale", "undisturbed"))
    differing = {name.split("/")[1] for name in stale if stale[name] != fresh[name] and "/shards/" in name}
    assert differing == {"2"}, "round 2 is answered by other weights, round 1 is not"
    with Services(tmp_path, latency_ms=30, step_ms=300) as services:
        asyncio.run(begin(services, world, max_staleness=1))
        for names in (["orchestrator"], ["policy", "trainer"], ["orchestrator"]):
            wait_for(services, 1, "training")
            time.sleep(0.3)
            for name in names:
                services.processes[name].restart()
        wait_for_end(services)
        assert_as_undisturbed(services, world, "stale")
