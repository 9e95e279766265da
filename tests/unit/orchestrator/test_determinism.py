"""One run with one seed gives one pair file: whatever the order of shards and answers, the process, or the hash seed."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from rlaifv.adapters.runs.shards import shard_from_parquet, shard_to_parquet
from rlaifv.core.candidates import Candidate
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.errors import DataLoss
from rlaifv.core.outcomes import Outcome
from rlaifv.ports.services import Generation
from services.orchestrator.collecting import collect_shard
from services.orchestrator.context import Ports, RunContext
from services.orchestrator.loop import InProcess, run_loop
from services.orchestrator.pairing import build_pairs
from tests.unit.orchestrator.scripted_world import ScriptedPolicy, open_context, scripted, write_world

ROOT = Path(__file__).parents[3]
SCRIPT = """
import asyncio, hashlib, json, sys
from pathlib import Path
from services.orchestrator.loop import InProcess, run_loop
from tests.unit.orchestrator.scripted_world import open_context
context = open_context(Path(sys.argv[1]), runs=sys.argv[2])
asyncio.run(run_loop(context, InProcess()))
print(json.dumps([hashlib.sha256(context.artifacts.read(f"iterations/{i}/pairs.parquet")).hexdigest() for i in (1, 2)]))
"""


async def collected(context: RunContext, order: Sequence[int]) -> str:
    """Collect the shards of iteration 1 in the given order and build the pairs; the pair file's digest."""
    start: Checkpoint = await context.keeper.serve_start(context.run.policy)
    for shard in order:
        await collect_shard(context, 1, shard, start)
    entry = await build_pairs(context, 1)
    context.ledger.close()
    assert hashlib.sha256(context.artifacts.read("iterations/1/pairs.parquet")).hexdigest() == entry.details["sha256"]
    return str(entry.details["sha256"])


def parquet_files(context: RunContext) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in Path(context.artifacts.uri("")).rglob("*.parquet")}


def lose(context: RunContext, name: str) -> None:
    Path(context.artifacts.uri(name)).unlink()


class Shuffling(ScriptedPolicy):
    """Outcomes in another order each time."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._chance = random.Random(seed)

    async def generate(self, items: Sequence[Generation]) -> AsyncIterator[Outcome[tuple[Candidate, ...]]]:
        async for outcome in super().generate(self._chance.sample(items, len(items))):
            yield outcome


async def test_the_order_of_shards_and_answers_does_not_matter(tmp_path: Path) -> None:
    write_world(tmp_path)
    digests = set()
    for number, order in enumerate([(0, 1, 2), (2, 0, 1), (1, 2, 0)]):

        def change(ports: Ports, number: int = number) -> Ports:
            return replace(scripted(ports), policy=Shuffling(number))

        digests.add(await collected(open_context(tmp_path, runs=f"runs{number}", change=change), order))
    assert len(digests) == 1
    other = open_context(tmp_path, runs="other", change=scripted, seed=8)
    assert await collected(other, (0, 1, 2)) not in digests, "another seed takes other prompts"


def test_the_process_does_not_matter(tmp_path: Path) -> None:
    write_world(tmp_path)
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(tmp_path), f"runs{seed}"],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("0", "4242")
    ]
    outputs = [worker.communicate(timeout=120)[0].splitlines()[-1] for worker in workers]
    assert outputs[0] == outputs[1]
    assert len(json.loads(outputs[0])) == 2


async def test_a_finished_run_is_not_made_again(tmp_path: Path) -> None:
    """Replaying the whole loop over a full ledger asks no service and changes no file."""
    write_world(tmp_path)
    context = open_context(tmp_path, change=scripted)
    await run_loop(context, InProcess())
    before = parquet_files(context)
    policy = ScriptedPolicy()
    again = open_context(tmp_path, change=lambda ports: replace(scripted(ports), policy=policy))
    await run_loop(again, InProcess())
    assert not policy.generated
    assert parquet_files(context) == before
    context.ledger.close()
    again.ledger.close()


async def test_a_lost_shard_is_made_again_and_a_damaged_one_is_told(tmp_path: Path) -> None:
    write_world(tmp_path)
    context = open_context(tmp_path, change=scripted)
    start = await context.keeper.serve_start(context.run.policy)
    for shard in range(3):
        await collect_shard(context, 1, shard, start)
    name = "iterations/1/shards/1.parquet"
    whole = context.artifacts.read(name)
    lose(context, name)
    await collect_shard(context, 1, 1, start)
    assert context.artifacts.read(name) == whole
    context.artifacts.write(name, whole[:-100])
    with pytest.raises(DataLoss, match=r"shards/1\.parquet: damaged"):
        await build_pairs(context, 1)
    context.ledger.close()


async def test_shard_files_read_back_as_they_were(tmp_path: Path) -> None:
    write_world(tmp_path)
    context = open_context(tmp_path)
    await collect_shard(context, 1, 0, await context.keeper.serve_start(context.run.policy))
    data = context.artifacts.read("iterations/1/shards/0.parquet")
    prompts = shard_from_parquet(data, "shard")
    assert len(prompts) == 4
    assert all(len(prompt.candidates) == 4 for prompt in prompts)
    again = shard_from_parquet(shard_to_parquet(prompts, context.run.sampling.sampling()), "shard")
    assert again == prompts
    context.ledger.close()
