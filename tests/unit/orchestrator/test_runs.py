"""Runs on the durable engine, in one process: names, cancel, resume, recovery, a full disk."""

from __future__ import annotations

import asyncio
import errno
import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from rlaifv.adapters.fake.trainer import FakeTrainer
from rlaifv.adapters.files import storage_errors
from rlaifv.adapters.runs.folder import FolderArtifacts, FolderLock
from rlaifv.adapters.runs.ledger import Ledger
from rlaifv.adapters.runs.reading import dump_run_file, parse_run_file
from rlaifv.adapters.runs.records import RunPhase
from rlaifv.adapters.runs.run_file import RunFile
from rlaifv.adapters.runs.scene_truth import SceneTruth
from rlaifv.core.errors import AlreadyExists, Conflict, InvalidInput, NotFound
from services.orchestrator.context import Ports
from services.orchestrator.contexts import Connection, Contexts, Surroundings
from services.orchestrator.durable import DbosEngine
from services.orchestrator.metrics import RunMetrics
from services.orchestrator.runs import Runs, RunState
from tests.unit.orchestrator.scripted_world import CarLabeler, ScriptedPolicy, SentenceDecomposer, run_yaml, write_world

RUN: dict[str, Any] = {"pair_rule": {"length_balance": False}, "iterations": 1}


class FullOnce(FolderArtifacts):
    """A disk with no room for the first write of a shard."""

    full = True

    def write(self, name: str, data: bytes) -> None:
        if "/shards/1" in name and type(self).full:
            type(self).full = False
            with storage_errors(Path(name)):
                raise OSError(errno.ENOSPC, "No space left on device")
        super().write(name, data)


class World:
    """An orchestrator in this process over scripted services; `reopen` is its restart."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "runs"
        self.trainer = FakeTrainer(step_s=0.01)
        self.policy = ScriptedPolicy()
        self.connected: list[RunFile] = []
        self.artifacts: Callable[[Path], FolderArtifacts] = FolderArtifacts
        self.registry = CollectorRegistry()

    async def open(self) -> Runs:
        self.ledger = Ledger(f"sqlite:///{self.root / 'ledger.sqlite'}")
        self.contexts = Contexts(
            Surroundings(
                root=self.root,
                ledger=self.ledger,
                connect=self._connect,
                artifacts=self.artifacts,
                truth=SceneTruth,
                metrics=RunMetrics(self.registry),
                patience_s=5.0,
            )
        )
        self.engine = DbosEngine(self.contexts, f"sqlite:///{self.root / 'steps.sqlite'}", "local", 1)
        self.runs = Runs(self.contexts, self.engine)
        await self.engine.launch()
        await self.runs.recover()
        return self.runs

    async def close(self) -> None:
        await self.engine.close()
        await self.contexts.close_all()
        self.ledger.close()

    async def reopen(self) -> Runs:
        await self.close()
        self.registry = CollectorRegistry()
        return await self.open()

    def _connect(self, run: RunFile) -> Connection:
        if run.services.policy == "nowhere":
            raise InvalidInput.field("services.policy", None, "give host:port")
        self.connected.append(run)
        ports = Ports(policy=self.policy, decomposer=SentenceDecomposer(), labeler=CarLabeler(), trainer=self.trainer)
        return Connection(ports=ports, close=self._closed)

    async def _closed(self) -> None:
        return None

    async def start(self, **changes: Any) -> RunState:
        return await self.runs.start("", run_yaml(**RUN, **changes), str(self.folder))

    async def end(self) -> RunState:
        """The run's last state."""
        async with asyncio.timeout(60):
            async for state in self.runs.watch("tiny"):
                last = state
        return last

    async def until(self, stage: str) -> None:
        """Until the run is at the stage."""
        async with asyncio.timeout(60):
            async for state in self.runs.watch("tiny"):
                if state.record.progress.stage == stage:
                    return


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    write_world(tmp_path)
    world = World(tmp_path)
    await world.open()
    yield world
    await world.close()
    await world.trainer.close()


def good(state: RunState) -> bool:
    """Whether the run ended as the scripted world has it."""
    return state.record.phase is RunPhase.DONE and [r["pairs"] for r in state.rounds] == [0, 24]


async def test_a_run_goes_to_its_end_and_its_name_is_taken(world: World) -> None:
    first = await world.start()
    assert first.record.phase.active
    last = await world.end()
    assert good(last)
    assert (await world.start()).record == last.record, "the same content again is the same run"
    with pytest.raises(AlreadyExists, match="seed is 7 there and 8 here"):
        await world.start(seed=8)
    assert [state.record.name for state in await world.runs.all()] == ["tiny"]
    summary = json.loads(FolderArtifacts(world.root / "tiny").read("summary.json"))
    assert (summary["phase"], len(summary["rounds"])) == ("done", 2)
    assert world.registry.get_sample_value("rlaifv_dropped_total", {"reason": "pair_cap"}) == 12
    assert world.registry.get_sample_value("rlaifv_pairs_total") == 24
    with pytest.raises(Conflict, match="is done"):
        await world.runs.resume("tiny")
    with pytest.raises(Conflict, match="is done"):
        await world.runs.cancel("tiny")


async def test_wrong_requests_leave_nothing_behind(world: World) -> None:
    with pytest.raises(InvalidInput, match=r"services\.policy"):
        await world.start(services={"policy": "nowhere"})
    with pytest.raises(InvalidInput, match="new prompts are needed"):
        await world.start(prompts_per_iteration=25)
    with pytest.raises(InvalidInput, match="the run file says 'tiny'"):
        await world.runs.start("other", run_yaml(), str(world.folder))
    with pytest.raises(NotFound, match=r"elsewhere/train\.parquet"):
        await world.runs.start("tiny", run_yaml(), str(world.folder / "elsewhere"))
    for call in (world.runs.get, world.runs.cancel, world.runs.resume):
        with pytest.raises(NotFound, match="'tiny'"):
            await call("tiny")
    broken = pq.read_table(world.folder / "evaluation.parquet").set_column(3, "truth", [["{}"] * 8])
    pq.write_table(broken, world.folder / "broken.parquet")
    with pytest.raises(InvalidInput, match="scene"):
        await world.start(
            prompts={"train": "train.parquet", "validation": "validation.parquet", "evaluation": "broken.parquet"}
        )
    assert await world.runs.all() == []
    FolderArtifacts(world.root / "tiny").write("run.yaml", b"someone else's")
    with pytest.raises(AlreadyExists, match="does not know"):
        await world.start()


async def test_cancel_stops_the_training_and_resume_goes_on(world: World) -> None:
    world.trainer = FakeTrainer(steps=1000, step_s=0.02)
    await world.start()
    await world.until("training")
    cancelled = await world.runs.cancel("tiny")
    assert cancelled.record.phase is RunPhase.CANCELLED
    [job] = world.trainer._jobs.values()
    async with asyncio.timeout(5):
        await job.task
    answers = dict(world.policy.generated)
    world.trainer = FakeTrainer(step_s=0.01)
    await world.runs.resume("tiny")
    assert good(await world.end())
    start = next(iter(answers))
    assert world.policy.generated[start] == answers[start] + 6, "only validation was left to answer"


async def test_a_full_disk_fails_the_run_and_resume_ends_it(world: World) -> None:
    FullOnce.full = True
    world.artifacts = FullOnce
    await world.reopen()
    await world.start()
    failed = await world.end()
    assert failed.record.phase is RunPhase.FAILED
    assert "no room to write" in failed.record.message
    await world.start()  # the same content again resumes it
    assert good(await world.end())


async def test_a_full_database_fails_the_run_without_writing(world: World) -> None:
    world.trainer = FakeTrainer(steps=1000, step_s=0.02)
    await world.start()
    await world.until("training")
    error = sa.exc.OperationalError("UPDATE", {}, sqlite3.OperationalError("database or disk is full"))

    class Context:
        sqlalchemy_exception = error
        original_exception = error.orig

    world.engine._on_database_error(Context())  # type: ignore[arg-type]
    failed = await world.end()
    assert failed.record.phase is RunPhase.FAILED
    assert "free some space, then resume" in failed.record.message
    assert world.ledger.run("tiny").phase is RunPhase.RUNNING, "there was no room to say so"
    world.trainer = FakeTrainer(step_s=0.01)
    await world.runs.resume("tiny")
    assert good(await world.end())


async def test_a_restarted_orchestrator_goes_on_by_itself(world: World) -> None:
    world.trainer = FakeTrainer(steps=1000, step_s=0.02)
    await world.start()
    await world.until("training")
    old, world.trainer = world.trainer, FakeTrainer(step_s=0.01)
    await world.reopen()
    assert good(await world.end())
    await old.close()


async def test_a_run_that_never_reached_the_engine_is_begun(world: World) -> None:
    """A crash between the ledger and the engine."""
    run = parse_run_file(run_yaml(**RUN), world.folder)
    world.ledger.create_run("tiny", dump_run_file(run), run.digest)
    await world.reopen()
    assert good(await world.end())


async def test_new_addresses_are_taken_up_by_a_run_at_work(world: World) -> None:
    world.trainer = FakeTrainer(steps=1000, step_s=0.02)
    await world.start()
    await world.until("training")
    old, world.trainer = world.trainer, FakeTrainer(step_s=0.01)
    state = await world.start(services={"policy": "there:1"})
    assert state.record.attempt == 2
    assert good(await world.end())
    assert world.connected[-1].services.policy == "there:1"
    await old.close()


def test_a_folder_is_for_one_orchestrator(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path / "runs")
    with pytest.raises(Conflict, match="another orchestrator is at work"):
        FolderLock(tmp_path / "runs", patience_s=0.0)
    lock.close()
    FolderLock(tmp_path / "runs", patience_s=0.0).close()


async def test_a_fault_of_ours_shows_as_a_failed_run(world: World) -> None:
    def broken(run: RunFile) -> Connection:
        raise ZeroDivisionError

    await world.start()
    await world.end()
    world.contexts.around = replace(world.contexts.around, connect=broken)
    world.ledger.create_run("other", world.ledger.run("tiny").config_yaml.replace("tiny", "other"), "digest")
    await world.engine.start("other", 1)
    async with asyncio.timeout(30):
        async for state in world.runs.watch("other"):
            last = state
    assert (last.record.phase, last.record.message) == (
        RunPhase.FAILED,
        "internal error; the orchestrator's log has the details",
    )
