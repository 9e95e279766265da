"""What a run's ledger adds up to. A history that is brought up to date reads what is new, however long the run is."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from rlaifv.adapters.runs.ledger import Ledger
from rlaifv.adapters.runs.records import Entry

SHARD = "shard:"
"""How the keys of entries about shards begin; a round has thousands of these and a handful of others."""

_OVERLAP = 64
"""Entries that are read again: workers that write at the same time may give the same number, or come out of order."""


@dataclass(slots=True)
class RoundHistory:
    """One iteration: its entries by key, those of shards added up."""

    entries: dict[str, Entry] = field(default_factory=dict)
    shards: set[str] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    """Prompts, candidates and claims collected."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Of the shards, by reason."""

    @property
    def over(self) -> bool:
        return "evaluated" in self.entries

    def add(self, entry: Entry) -> None:
        """Count the entry in, once."""
        if not entry.key.startswith(SHARD):
            self.entries[entry.key] = entry
        elif entry.key not in self.shards:
            self.shards.add(entry.key)
            self.counts.update({name: entry.details[name] for name in ("prompts", "candidates", "claims")})
            self.dropped.update(entry.details["dropped"])


class RunHistory:
    """Of the run `name`; not for several threads at once."""

    def __init__(self, ledger: Ledger, name: str) -> None:
        self.ledger = ledger
        self.name = name
        self.rounds: defaultdict[int, RoundHistory] = defaultdict(RoundHistory)
        self.summaries: dict[int, dict[str, Any]] = {}
        """Of rounds that are over: nothing is added to them any more."""
        self._newest = -1

    def update(self) -> None:
        """Read what came since the last time."""
        for number, entry in self.ledger.entries_since(self.name, self._newest - _OVERLAP):
            self.rounds[entry.iteration].add(entry)
            self._newest = max(self._newest, number)

    @property
    def policy(self) -> dict[str, str] | None:
        """The checkpoint that the last round ended with, or the start; None before the run has begun."""
        over = [index for index, one in self.rounds.items() if one.over]
        if over:
            return dict(self.rounds[max(over)].entries["evaluated"].details["policy"])
        begun = self.rounds[0].entries.get("begin")
        return None if begun is None else dict(begun.details["start"])

    def dropped(self, index: int) -> list[dict[str, int]]:
        """What was left out in a round so far, by reason."""
        one = self.rounds[index]
        return [one.dropped, *(entry.details.get("dropped", {}) for entry in one.entries.values())]
