"""Runs of the orchestrator in this process, on scripted services: their time, memory, statements, rows and bytes.

`python -m bench.growth_run '{"prompts": 1000, …}' 2` prints those of two runs as JSON. A tiny run before warms everything up, and
beside each run one of a single shard shows what a run costs whatever its size.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import structlog
from prometheus_client import CollectorRegistry

from bench.growth_world import Size, check, run_file, worlds
from bench.machine import PeakMemory
from bench.scripted import Clock, Script, ScriptedDecomposer, ScriptedLabeler, ScriptedPolicy
from bench.timing import cpu_seconds
from rlaifv.adapters.fake.trainer import FakeTrainer
from rlaifv.adapters.runs import layout
from rlaifv.adapters.runs.folder import FolderArtifacts
from rlaifv.adapters.runs.ledger import Ledger
from rlaifv.adapters.runs.records import RunPhase
from rlaifv.adapters.runs.run_file import RunFile
from rlaifv.adapters.runs.scene_truth import SceneTruth
from services.orchestrator.context import Ports
from services.orchestrator.contexts import Connection, Contexts, Surroundings
from services.orchestrator.durable import DbosEngine
from services.orchestrator.metrics import RunMetrics
from services.orchestrator.runs import Runs, RunState


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Of one run: seconds of wall clock, of this process's CPU and of the scripted services in it; memory on top of what a
    run of one shard had left; SQL statements; rows by table; bytes by where they lie. `fixed` is the run of one shard."""

    prompts: int
    wall_s: float
    cpu_s: float
    own_s: float
    peak_mib: float
    statements: int
    rows: dict[str, int]
    bytes: dict[str, int]
    pairs: int
    wrong: list[str]
    fixed: dict[str, float] = field(default_factory=dict)


@asynccontextmanager
async def orchestrator(root: Path, size: Size, clock: Clock) -> AsyncIterator[Runs]:
    """The service without its gRPC, wired as services/orchestrator/__main__.py wires it, over scripted services."""
    ledger = Ledger(size.database or f"sqlite:///{root / '.ledger.sqlite'}")
    script = Script(size.claims)

    def connect(run: RunFile) -> Connection:
        trainer = FakeTrainer()
        ports = Ports(
            policy=ScriptedPolicy(script, clock),
            decomposer=ScriptedDecomposer(script, clock),
            labeler=ScriptedLabeler(clock),
            trainer=trainer,
        )
        return Connection(ports=ports, close=trainer.close)

    contexts = Contexts(
        Surroundings(
            root=root,
            ledger=ledger,
            connect=connect,
            artifacts=FolderArtifacts,
            truth=SceneTruth,
            metrics=RunMetrics(CollectorRegistry()),
        )
    )
    engine = DbosEngine(contexts, size.database or f"sqlite:///{root / '.steps.sqlite'}", "bench", 1)
    await engine.launch()
    try:
        yield Runs(contexts, engine)
    finally:
        await engine.close()
        await contexts.close_all()
        ledger.close()


class Statements:
    """SQL statements of the whole process, by their first words, in a `with` block."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def __enter__(self) -> Statements:
        sa.event.listen(sa.Engine, "before_cursor_execute", self._count)
        return self

    def __exit__(self, *error: object) -> None:
        sa.event.remove(sa.Engine, "before_cursor_execute", self._count)

    def _count(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        self.counts[" ".join(statement.split()[:400])] += 1


async def run_once(folder: Path, size: Size) -> Measured:
    """A run from the request to its summary, watched all the while as the command line does."""
    root = folder / "runs"
    clock = Clock()
    with PeakMemory() as memory, Statements() as statements:
        async with orchestrator(root, size, clock) as runs:
            began, cpu = time.time(), cpu_seconds()
            await runs.start("", run_file(size), str(folder))
            async for state in runs.watch("growth"):
                last = state
            cpu = cpu_seconds() - cpu
    ended = last.record.ended_at or time.time()
    wrong, pairs = outcome(folder, size, last)
    return Measured(
        prompts=size.prompts,
        wall_s=ended - began,
        cpu_s=cpu,
        own_s=clock.own_s,
        peak_mib=memory.mib,
        statements=sum(statements.counts.values()),
        rows=table_rows(root, size),
        bytes=bytes_on_disk(root, size),
        pairs=pairs,
        wrong=wrong,
    )


def outcome(folder: Path, size: Size, state: RunState) -> tuple[list[str], int]:
    """What is wrong with the run, and how many pairs it gave."""
    if state.record.phase is not RunPhase.DONE:
        return [f"the run {state.record.phase.value}: {state.record.message}"], 0
    figures = state.rounds[-1]
    return check(folder, size, figures), figures["pairs"]


def engines(root: Path, size: Size) -> list[sa.Engine]:
    """Of the databases, to look into them from outside."""
    if size.database:
        return [sa.create_engine(sa.make_url(size.database).set(drivername="postgresql+psycopg"))]
    return [sa.create_engine(f"sqlite:///{root / name}") for name in (".ledger.sqlite", ".steps.sqlite")]


def table_rows(root: Path, size: Size) -> dict[str, int]:
    """Rows of every table that has any."""
    rows: dict[str, int] = {}
    for engine in engines(root, size):
        schemas = [None, "dbos"] if size.database else [None]
        with engine.connect() as connection:
            for schema in schemas:
                for table in sa.inspect(engine).get_table_names(schema=schema):
                    counted = sa.select(sa.func.count()).select_from(sa.table(table, schema=schema))
                    if count := connection.execute(counted).scalar_one():
                        rows[table] = rows.get(table, 0) + count
        engine.dispose()
    return rows


def bytes_on_disk(root: Path, size: Size) -> dict[str, int]:
    """Bytes of the databases, of the shard files and of the pair file."""
    if size.database:
        (engine,) = engines(root, size)
        with engine.connect() as connection:
            database = int(connection.execute(sa.text("SELECT pg_database_size(current_database())")).scalar_one())
        engine.dispose()
    else:
        database = _total(root.glob(".*.sqlite*"))
    iteration = root / "growth" / "iterations" / "1"
    return {
        "database": database,
        "shards": _total((iteration / "shards").iterdir()),
        "pairs": (iteration / "pairs.parquet").stat().st_size,
        "timeline": (root / "growth" / layout.TIMELINE).stat().st_size,
    }


def _total(paths: Any) -> int:
    return sum(path.stat().st_size for path in paths)


async def measure(sizes: Sequence[Size], folders: Sequence[Path]) -> list[Measured]:
    """All runs but the first, which warms up; they come in twos, of which the first is of one shard."""
    logging.disable(logging.WARNING)  # DBOS says that it ends its tasks
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    places = zip(folders, sizes, strict=True)
    _, *found = [await run_once(*_in_own_database(*place)) for place in places]
    names = ("prompts", "wall_s", "cpu_s", "own_s", "peak_mib", "statements")
    return [
        replace(one, fixed={name: getattr(small, name) for name in names} | _database(small))
        for small, one in zip(found[::2], found[1::2], strict=True)
    ]


def _database(one: Measured) -> dict[str, float]:
    return {"database": one.bytes["database"], "rows": sum(one.rows.values())}


def _in_own_database(folder: Path, size: Size) -> tuple[Path, Size]:
    """Where it is Postgres: a database of its own for each run, made now."""
    if not size.database:
        return folder, size
    url = sa.make_url(size.database).set(drivername="postgresql+psycopg")
    name = f"growth_{time.time_ns()}"
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    own = url.set(drivername="postgresql", database=name).render_as_string(hide_password=False)
    return folder, replace(size, database=own)


def main(arguments: Sequence[str]) -> None:
    """Print what was measured."""
    size, repetitions = Size(**json.loads(arguments[0])), int(arguments[1])
    small = replace(size, prompts=size.shard_prompts)
    sizes = (small, *(repetitions * (small, size)))
    with worlds(sizes) as folders:
        found = asyncio.run(measure(sizes, folders))
    sys.stdout.write(json.dumps([asdict(one) for one in found]) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
