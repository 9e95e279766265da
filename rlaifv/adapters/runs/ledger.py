"""The ledger: runs, what happened in them, when, and where pairs came from. SQLite or Postgres, by URL.

Entries are written once: the first one under a key stays, so that a step repeated after a crash changes nothing.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError

from rlaifv.adapters.runs.records import (
    Entry,
    PairOrigin,
    Progress,
    RunPhase,
    RunRecord,
    Span,
    event_from_dict,
    event_to_dict,
)
from rlaifv.core.errors import AlreadyExists, Conflict, NotFound, StorageFull, Unavailable

_TABLES = sa.MetaData()
_NO_SHARD = -1

_runs = sa.Table(
    "rlaifv_runs",
    _TABLES,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("config_yaml", sa.Text, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("phase", sa.String(16), nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("began_at", sa.Double, nullable=False),
    sa.Column("ended_at", sa.Double),
    sa.Column("progress", sa.Text, nullable=False),
)
_entries = sa.Table(
    "rlaifv_entries",
    _TABLES,
    sa.Column("run", sa.String(64), primary_key=True),
    sa.Column("iteration", sa.Integer, primary_key=True),
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("event", sa.Text),
    sa.Column("details", sa.Text, nullable=False),
)
_numbers = sa.Index("rlaifv_entries_by_number", _entries.c.run, _entries.c.number)
_spans = sa.Table(
    "rlaifv_spans",
    _TABLES,
    sa.Column("run", sa.String(64), primary_key=True),
    sa.Column("iteration", sa.Integer, primary_key=True),
    sa.Column("stage", sa.String(16), primary_key=True),
    sa.Column("shard", sa.Integer, primary_key=True),
    sa.Column("start_s", sa.Double, nullable=False),
    sa.Column("end_s", sa.Double, nullable=False),
)
_pairs = sa.Table(
    "rlaifv_pairs",
    _TABLES,
    sa.Column("run", sa.String(64), primary_key=True),
    sa.Column("pair_id", sa.String(16), primary_key=True),
    sa.Column("iteration", sa.Integer, nullable=False),
    sa.Column("prompt_id", sa.Text, nullable=False),
    sa.Column("shard", sa.Integer, nullable=False),
    sa.Column("chosen_id", sa.String(16), nullable=False),
    sa.Column("rejected_id", sa.String(16), nullable=False),
)


class Ledger:
    """Opens (and makes) the tables at `url`: sqlite:///path or postgresql://…. Safe for several processes."""

    def __init__(self, url: str) -> None:
        address = sa.make_url(url)
        if address.drivername in ("postgresql", "postgres"):
            address = address.set(drivername="postgresql+psycopg")
        self._engine = sa.create_engine(address, pool_pre_ping=address.get_backend_name() != "sqlite")
        if self._engine.dialect.name == "sqlite":
            if address.database:
                Path(address.database).parent.mkdir(parents=True, exist_ok=True)
            sa.event.listen(self._engine, "connect", _tune_sqlite)
        self._insert: Any = sqlite.insert if self._engine.dialect.name == "sqlite" else postgresql.insert
        with self._transaction() as connection:
            _TABLES.create_all(connection)
            _numbers.create(connection, checkfirst=True)  # a ledger of an earlier version has the table without it

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()

    def create_run(self, name: str, config_yaml: str, digest: str) -> None:
        """Add a run, pending, as its first attempt. Raises AlreadyExists."""
        row = {
            "name": name,
            "config_yaml": config_yaml,
            "digest": digest,
            "phase": RunPhase.PENDING,
            "message": "",
            "attempt": 1,
            "began_at": time.time(),
            "progress": "{}",
        }
        with self._transaction() as connection:
            done = connection.execute(self._insert(_runs).values(row).on_conflict_do_nothing())
            if done.rowcount == 0:
                raise AlreadyExists(f"there is a run named {name!r} already")

    def run(self, name: str) -> RunRecord:
        """Raises NotFound."""
        with self._transaction() as connection:
            row = connection.execute(sa.select(_runs).where(_runs.c.name == name)).one_or_none()
        if row is None:
            raise NotFound(f"there is no run named {name!r}")
        return _run_record(row)

    def runs(self) -> list[RunRecord]:
        """All runs, newest first."""
        with self._transaction() as connection:
            rows = connection.execute(sa.select(_runs).order_by(_runs.c.began_at.desc(), _runs.c.name)).all()
        return [_run_record(row) for row in rows]

    def begin_attempt(self, name: str, config_yaml: str) -> int:
        """Make the run pending again and give the new attempt's number. Raises NotFound, and Conflict if it is active."""
        values = {
            "attempt": _runs.c.attempt + 1,
            "phase": RunPhase.PENDING,
            "message": "",
            "ended_at": None,
            "config_yaml": config_yaml,
        }
        over = [phase for phase in RunPhase if not phase.active]
        with self._transaction() as connection:
            where = (_runs.c.name == name) & _runs.c.phase.in_(over)
            changed = connection.execute(sa.update(_runs).where(where).values(values))
            attempt = connection.execute(sa.select(_runs.c.attempt).where(_runs.c.name == name)).scalar_one_or_none()
        if attempt is None:
            raise NotFound(f"there is no run named {name!r}")
        if changed.rowcount == 0:
            raise Conflict(f"the run {name!r} is at work already")
        return int(attempt)

    def set_phase(self, name: str, attempt: int, phase: RunPhase, message: str = "") -> bool:
        """Move an active run; false if `attempt` is not the present one or the run is over (so nothing is changed)."""
        where = (
            (_runs.c.name == name)
            & (_runs.c.attempt == attempt)
            & _runs.c.phase.in_([RunPhase.PENDING, RunPhase.RUNNING])
        )
        values = {"phase": phase, "message": message, "ended_at": None if phase.active else time.time()}
        with self._transaction() as connection:
            return connection.execute(sa.update(_runs).where(where).values(values)).rowcount > 0

    def set_progress(self, name: str, progress: Progress) -> None:
        """What the run does now, for those who watch."""
        with self._transaction() as connection:
            values = {"progress": json.dumps(asdict(progress))}
            connection.execute(sa.update(_runs).where(_runs.c.name == name).values(values))

    def record(self, run: str, entry: Entry) -> Entry:
        """Write the entry unless there is one under its key; gives the one that stays."""
        with self._transaction() as connection:
            newest = sa.select(sa.func.max(_entries.c.number)).where(_entries.c.run == run).scalar_subquery()
            row = {
                "run": run,
                "iteration": entry.iteration,
                "key": entry.key,
                "number": sa.func.coalesce(newest + 1, 0),
                "event": json.dumps(event_to_dict(entry.event)) if entry.event is not None else None,
                "details": json.dumps(entry.details),
            }
            connection.execute(self._insert(_entries).values(row).on_conflict_do_nothing())
        kept = self.find(run, entry.iteration, entry.key)
        assert kept is not None
        return kept

    def find(self, run: str, iteration: int, key: str) -> Entry | None:
        """The entry under a key, or None."""
        where = (_entries.c.run == run) & (_entries.c.iteration == iteration) & (_entries.c.key == key)
        with self._transaction() as connection:
            row = connection.execute(sa.select(_entries).where(where)).one_or_none()
        return None if row is None else _entry(row)

    def count(self, run: str, iteration: int, prefix: str) -> int:
        """How many entries of an iteration have a key that begins so."""
        where = (_entries.c.run == run) & (_entries.c.iteration == iteration) & _entries.c.key.startswith(prefix)
        with self._transaction() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(_entries).where(where)).scalar_one())

    def entries(self, run: str) -> list[Entry]:
        """Everything that happened in the run, oldest first."""
        return [entry for _, entry in self.entries_since(run, -1)]

    def entries_since(self, run: str, number: int) -> list[tuple[int, Entry]]:
        """What happened after entry `number`, oldest first, each with its number."""
        where = (_entries.c.run == run) & (_entries.c.number > number)
        query = sa.select(_entries).where(where).order_by(_entries.c.number, _entries.c.iteration)
        with self._transaction() as connection:
            return [(row.number, _entry(row)) for row in connection.execute(query)]

    def add_spans(self, run: str, spans: Sequence[Span]) -> None:
        """Note when stages were at work; a repeated stage or shard replaces its former time."""
        rows = [
            {**span.to_dict(), "run": run, "shard": _NO_SHARD if span.shard is None else span.shard} for span in spans
        ]
        statement = self._insert(_spans)
        changed = {"start_s": statement.excluded.start_s, "end_s": statement.excluded.end_s}
        with self._transaction() as connection:
            keys = ["run", "iteration", "stage", "shard"]
            connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed), rows)

    def spans(self, run: str, iteration: int | None = None) -> list[Span]:
        """The run's times, or those of one iteration, by their start."""
        where = _spans.c.run == run
        if iteration is not None:
            where &= _spans.c.iteration == iteration
        query = sa.select(_spans).where(where).order_by(_spans.c.start_s, _spans.c.stage, _spans.c.shard)
        with self._transaction() as connection:
            return [_span(row) for row in connection.execute(query)]

    def add_pairs(self, run: str, origins: Sequence[PairOrigin]) -> None:
        """Note where pairs came from; known pairs stay as they are."""
        rows = [{**asdict(origin), "run": run} for origin in origins]
        if rows:
            with self._transaction() as connection:
                connection.execute(self._insert(_pairs).on_conflict_do_nothing(), rows)

    def pair(self, run: str, pair_id: str) -> PairOrigin:
        """Raises NotFound."""
        where = (_pairs.c.run == run) & (_pairs.c.pair_id == pair_id)
        with self._transaction() as connection:
            row = connection.execute(sa.select(_pairs).where(where)).one_or_none()
        if row is None:
            raise NotFound(f"the run {run!r} has no pair {pair_id!r}")
        return PairOrigin(**{name: value for name, value in row._mapping.items() if name != "run"})

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except OperationalError as exc:
            if "full" in str(exc.orig):
                raise StorageFull(f"ledger: no room left ({exc.orig}); free some space, then resume the run") from exc
            raise Unavailable(f"ledger: the database does not answer ({exc.orig})") from exc


def write_ahead(url: str) -> None:
    """Make the SQLite file at `url`, or an existing one, keep a write-ahead log from now on: fewer waits for the disk."""
    engine = sa.create_engine(url)
    try:
        Path(engine.url.database or "").parent.mkdir(parents=True, exist_ok=True)
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    finally:
        engine.dispose()


def _tune_sqlite(connection: Any, _record: object) -> None:
    # Readers go on while a writer writes; the write-ahead log is complete after kill -9.
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA busy_timeout=30000")


def _run_record(row: sa.Row[Any]) -> RunRecord:
    fields = dict(row._mapping)
    progress = Progress(**json.loads(fields.pop("progress")))
    return RunRecord(**{**fields, "phase": RunPhase(fields["phase"])}, progress=progress)


def _entry(row: sa.Row[Any]) -> Entry:
    event = event_from_dict(json.loads(row.event)) if row.event is not None else None
    return Entry(iteration=row.iteration, key=row.key, event=event, details=json.loads(row.details))


def _span(row: sa.Row[Any]) -> Span:
    fields = {name: value for name, value in row._mapping.items() if name != "run"}
    return Span(**{**fields, "shard": None if row.shard == _NO_SHARD else row.shard})
