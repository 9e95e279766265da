"""The ledger that runs of this machine are kept in, for commands that look at them while no orchestrator is at work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rlaifv.core.errors import NotFound

if TYPE_CHECKING:
    from rlaifv.adapters.runs.ledger import Ledger

_FILE = ".ledger.sqlite"


def has_ledger(runs: Path) -> bool:
    """Whether an orchestrator of this machine ever kept runs there."""
    return (runs / _FILE).exists()


@contextmanager
def open_ledger(runs: Path) -> Iterator[Ledger]:
    """The ledger in a folder of runs. Raises NotFound if there is none (they may be kept in a database elsewhere)."""
    from rlaifv.adapters.runs.ledger import Ledger

    if not has_ledger(runs):
        raise NotFound(f"--runs = {str(runs)!r}: there is no ledger of runs; name the orchestrator with --endpoint")
    ledger = Ledger(f"sqlite:///{(runs / _FILE).absolute()}")
    try:
        yield ledger
    finally:
        ledger.close()


def park_others(runs: Path, name: str) -> list[str]:
    """Mark runs that a killed command left at work as cancelled, but for `name`; gives their names.

    An orchestrator takes up everything that is at work in its ledger. One that is started for one run has that run's models,
    and must not go on with another run's.
    """
    from rlaifv.adapters.runs.records import RunPhase

    if not has_ledger(runs):
        return []
    message = "its command was ended; nothing is lost"
    with open_ledger(runs) as ledger:
        left = [record for record in ledger.runs() if record.phase.active and record.name != name]
        return [r.name for r in left if ledger.set_phase(r.name, r.attempt, RunPhase.CANCELLED, message)]
