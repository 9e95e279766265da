"""The throw-away Postgres: it answers, it is gone afterwards, and the ledger on it is as on SQLite."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from bench.postgres import binaries, throw_away_postgres
from rlaifv.adapters.runs.history import RunHistory
from rlaifv.adapters.runs.ledger import Ledger
from rlaifv.adapters.runs.records import Entry, RunRecord, Span
from rlaifv.core.iteration import ShardDone

PROGRAMS = binaries()
needs_postgres = pytest.mark.skipif(PROGRAMS is None, reason="Postgres is not installed: initdb and pg_ctl")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    assert PROGRAMS is not None
    with throw_away_postgres(PROGRAMS) as url:
        yield url


@needs_postgres
def test_it_is_gone_with_the_block() -> None:
    assert PROGRAMS is not None
    before = set(Path(tempfile.gettempdir()).glob("rlaifv-postgres-*"))
    with throw_away_postgres(PROGRAMS) as url:
        address = sa.make_url(url)
        engine = sa.create_engine(address.set(drivername="postgresql+psycopg"))
        with engine.connect() as connection:
            assert connection.execute(sa.text("SHOW fsync")).scalar_one() == "on"
        engine.dispose()
    with socket.socket() as closed, pytest.raises(ConnectionRefusedError):
        closed.connect((address.host, address.port))
    assert set(Path(tempfile.gettempdir()).glob("rlaifv-postgres-*")) <= before


@needs_postgres
def test_the_ledger_is_the_same_on_both(url: str, tmp_path: Path) -> None:
    assert seen(Ledger(url)) == seen(Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}"))


def seen(ledger: Ledger) -> object:
    """What comes back of a few entries and spans."""
    figures = {"prompts": 8, "candidates": 80, "claims": 720, "dropped": {"no_pair": 1}}
    ledger.create_run("r", "yaml", "digest")
    for shard in range(3):
        entry = Entry(iteration=1, key=f"shard:{shard}", event=ShardDone(shard), details=figures)
        assert ledger.record("r", entry) == ledger.record("r", entry) == entry
        ledger.add_spans("r", [Span(iteration=1, stage="score", shard=shard, start_s=shard, end_s=shard + 1.0)])
    ledger.add_spans("r", [Span(iteration=2, stage="score", shard=0, start_s=9.0, end_s=10.0)])
    history = RunHistory(ledger, "r")
    history.update()
    history.update()
    record: RunRecord = ledger.run("r")
    found = (
        record.phase,
        ledger.entries_since("r", 0),
        ledger.spans("r", 1),
        len(ledger.spans("r")),
        history.dropped(1),
        dict(history.rounds[1].counts),
        ledger.count("r", 1, "shard:"),
    )
    ledger.close()
    return found
