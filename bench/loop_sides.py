"""One run made in two ways over the same backends: by the orchestrator, and stage after stage (`loop_stages`)."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from prometheus_client import CollectorRegistry

from bench.loop_stages import run_stages
from bench.loop_usage import StageUse, Usage
from bench.scenes import picture
from rlaifv.adapters.runs import layout
from rlaifv.adapters.runs.folder import FolderArtifacts
from rlaifv.adapters.runs.ledger import Ledger
from rlaifv.adapters.runs.reading import dump_run_file, parse_run_file
from rlaifv.adapters.runs.records import RunPhase
from rlaifv.adapters.runs.run_file import RunFile
from rlaifv.adapters.runs.scene_truth import SceneTruth
from services.orchestrator.context import Ports, RunContext, RunPrompts
from services.orchestrator.contexts import Connection, Contexts, Surroundings
from services.orchestrator.durable import DbosEngine
from services.orchestrator.metrics import RunMetrics
from services.orchestrator.runs import Runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One way once through the run. `pairs` are the SHA-256 of the pair files, an iteration each; `rows` how many pairs.

    `seconds` run from the first request to a backend to the end; `start_s` lie before, once a run and not in each iteration.
    """

    seconds: float
    start_s: float
    pairs: tuple[str, ...]
    rows: tuple[int, ...]
    use: Mapping[str, StageUse]


def run_file(folder: Path, **fields: Any) -> RunFile:
    """A run over the prompt files in `folder`, without evaluation: the published way has none in its iterations."""
    prompts = {"train": "train.parquet", "validation": "validation.parquet"}
    return parse_run_file(json.dumps({"prompts": prompts} | fields), folder)


def write_prompts(folder: Path, train: int, validation: int, seed: int) -> None:
    """Prompts with a picture each."""
    for name, first, count in (("train", 0, train), ("validation", train, validation)):
        numbers = range(first, first + count)
        columns = {
            "prompt_id": [f"p{number:05d}" for number in numbers],
            "image": [{"bytes": picture(seed * 100_000 + number, (64, 48)), "path": None} for number in numbers],
            "prompt": [f"Describe the picture, number {number}." for number in numbers],
        }
        pq.write_table(pa.table(columns), folder / f"{name}.parquet", row_group_size=64)


async def staged(run: RunFile, ports: Ports, folder: Path) -> Turn:
    """Stage after stage; its files lie in `folder`."""
    _empty(folder)
    usage = Usage(run.prompts_per_iteration)
    ledger = Ledger(f"sqlite:///{folder / 'unused.sqlite'}")
    began_at = time.time()
    context = RunContext(
        run=run,
        attempt=1,
        ports=usage.watch(ports),
        prompts=RunPrompts.read(run),
        ledger=ledger,
        artifacts=FolderArtifacts(folder),
        truth=SceneTruth,
        metrics=RunMetrics(CollectorRegistry()),
        began_at=began_at,
    )
    await run_stages(context, folder)
    ended_at = time.time()
    ledger.close()
    files = [folder / str(iteration) / "pairs.parquet" for iteration in range(1, run.iterations + 1)]
    return _turn(began_at, ended_at, files, usage)


async def streamed(run: RunFile, ports: Ports, folder: Path) -> Turn:
    """The orchestrator as it is deployed on one machine: DBOS and the ledger on SQLite files in `folder`."""
    _empty(folder)
    usage = Usage(run.prompts_per_iteration)
    ledger = Ledger(f"sqlite:///{folder / 'ledger.sqlite'}")
    around = Surroundings(
        root=folder,
        ledger=ledger,
        connect=lambda _run: Connection(ports=usage.watch(ports), close=_nothing),
        artifacts=FolderArtifacts,
        truth=SceneTruth,
        metrics=RunMetrics(CollectorRegistry()),
    )
    contexts = Contexts(around)
    logging.getLogger("dbos").setLevel(logging.ERROR)
    engine = DbosEngine(contexts, f"sqlite:///{folder / 'steps.sqlite'}", "bench", 1)
    await engine.launch()
    try:
        runs = Runs(contexts, engine)
        await runs.start(run.name, dump_run_file(run), str(folder))
        async for _ in runs.watch(run.name):
            pass
        record = ledger.run(run.name)
    finally:
        await engine.close()
        await contexts.close_all()
        ledger.close()
    if record.phase is not RunPhase.DONE or record.ended_at is None:
        raise RuntimeError(f"the run is {record.phase}: {record.message}")
    files = [folder / run.name / layout.pairs(iteration) for iteration in range(1, run.iterations + 1)]
    return _turn(record.began_at, record.ended_at, files, usage)


def _turn(began_at: float, ended_at: float, files: list[Path], usage: Usage) -> Turn:
    first = usage.began_at or began_at
    return Turn(
        seconds=ended_at - first,
        start_s=first - began_at,
        pairs=tuple(hashlib.sha256(path.read_bytes()).hexdigest() for path in files),
        rows=tuple(pq.read_metadata(path).num_rows for path in files),
        use=usage.finish(),
    )


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


async def _nothing() -> None:
    return None
