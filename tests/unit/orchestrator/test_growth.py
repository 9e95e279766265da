"""What a run does for one more shard does not depend on how many there were: counted, not timed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from rlaifv.adapters.runs.history import RunHistory
from rlaifv.adapters.runs.ledger import Ledger
from rlaifv.adapters.runs.records import Entry
from rlaifv.core.iteration import ShardDone
from services.orchestrator.loop import InProcess, run_loop
from tests.unit.orchestrator.scripted_world import open_context, scripted, write_world

FIGURES = {"prompts": 8, "candidates": 80, "claims": 720, "dropped": {"no_pair": 1}}


def shard(index: int) -> Entry:
    return Entry(iteration=1, key=f"shard:{index}", event=ShardDone(index), details=FIGURES)


@contextmanager
def database_steps() -> Iterator[Counter[str]]:
    """Instructions of SQLite's machine in the block, of connections opened in it: its work, whatever the hour."""
    steps: Counter[str] = Counter()

    def step() -> int:
        steps["steps"] += 1
        return 0

    def connected(connection: Any, _record: object) -> None:
        connection.set_progress_handler(step, 1)

    sa.event.listen(sa.Engine, "connect", connected)
    try:
        yield steps
    finally:
        sa.event.remove(sa.Engine, "connect", connected)


@contextmanager
def statements() -> Iterator[Counter[str]]:
    """Statements in the block by their text."""
    found: Counter[str] = Counter()

    def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        found[statement] += 1

    sa.event.listen(sa.Engine, "before_cursor_execute", count)
    try:
        yield found
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", count)


def test_an_entry_costs_the_database_the_same_however_many_there_are(tmp_path: Path) -> None:
    with database_steps() as steps:
        ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
        ledger.create_run("r", "yaml", "digest")
        costs = []
        for index in range(2000):
            before = steps["steps"]
            ledger.record("r", shard(index))
            costs.append(steps["steps"] - before)
        ledger.close()
    early, late = sum(costs[50:150]), sum(costs[-100:])
    assert early > 0
    assert late < 1.1 * early


def test_a_history_that_is_brought_up_to_date_reads_what_is_new(tmp_path: Path) -> None:
    read = []

    class Watched(Ledger):
        def entries_since(self, run: str, number: int) -> list[tuple[int, Entry]]:
            found = super().entries_since(run, number)
            read.append(len(found))
            return found

    ledger = Watched(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    ledger.create_run("r", "yaml", "digest")
    history = RunHistory(ledger, "r")
    for index in range(500):
        ledger.record("r", shard(index))
        if index % 10 == 9:
            history.update()
    assert max(read) <= 64 + 10
    whole = RunHistory(ledger, "r")
    whole.update()
    assert history.rounds == whole.rounds, "and adds up to the same"
    assert history.rounds[1].counts == {"prompts": 500 * 8, "candidates": 500 * 80, "claims": 500 * 720}
    ledger.close()


async def test_every_further_shard_asks_the_ledger_the_same(tmp_path: Path) -> None:
    write_world(tmp_path, train=96)
    counts = []
    for shards in (6, 12, 24):
        context = open_context(
            tmp_path, runs=f"runs{shards}", change=scripted, iterations=1, prompts_per_iteration=4 * shards
        )
        with statements() as found:
            await run_loop(context, InProcess())
        context.ledger.close()
        # What people are shown of the run goes by the clock.
        counts.append(
            sum(n for text, n in found.items() if "UPDATE rlaifv_runs" not in text and "count(*)" not in text)
        )
    assert counts[2] - counts[1] == 2 * (counts[1] - counts[0]) > 0
