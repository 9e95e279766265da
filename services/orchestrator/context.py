"""A run at work: its file, its services, its prompts, and where it writes. Knows nothing of stages."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rlaifv.adapters.runs import layout
from rlaifv.adapters.runs.history import RunHistory
from rlaifv.adapters.runs.ledger import Ledger
from rlaifv.adapters.runs.prompt_sets import PromptSet, check_disjoint, iteration_prompts, prompt_order, read_prompt_set
from rlaifv.adapters.runs.records import Entry, Progress, Span
from rlaifv.adapters.runs.run_file import RunFile
from rlaifv.adapters.runs.summary import timeline_jsonl
from rlaifv.core.errors import Conflict
from rlaifv.ports.artifacts import Artifacts
from rlaifv.ports.services import Decomposer, Labeler, Policy, Trainer
from rlaifv.ports.truth import Truth
from services.orchestrator.asking import PolicyKeeper
from services.orchestrator.metrics import RunMetrics

_REPORT_INTERVAL_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The four services of a run."""

    policy: Policy
    decomposer: Decomposer
    labeler: Labeler
    trainer: Trainer


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPrompts:
    """The run's three prompt sets, checked to be disjoint and large enough; `order` is that of the training prompts."""

    train: PromptSet
    validation: PromptSet
    evaluation: PromptSet | None
    order: tuple[str, ...]

    @classmethod
    def read(cls, run: RunFile, spool: Path | None = None) -> RunPrompts:
        """Raises NotFound for a missing file and InvalidInput for a bad, overlapping or too small one.

        `spool` is a folder for pictures of files that are slow to read one by one (see `read_prompt_set`).
        """
        files = run.prompts
        sets = {
            "train": read_prompt_set(files.train, "prompts.train", spool=spool),
            "validation": read_prompt_set(files.validation, "prompts.validation", spool=spool),
        }
        if files.evaluation is not None:
            sets["evaluation"] = read_prompt_set(files.evaluation, "prompts.evaluation", with_truth=True, spool=spool)
        check_disjoint(sets)
        order = prompt_order(sets["train"].ids, run.seed)
        iteration_prompts(order, run.iterations, run.prompts_per_iteration)
        return cls(train=sets["train"], validation=sets["validation"], evaluation=sets.get("evaluation"), order=order)


class Stopwatch:
    """From the first start to the last end of each stage, in seconds since the run began."""

    def __init__(self, began_at: float) -> None:
        self._began_at = began_at
        self._times: dict[str, tuple[float, float]] = {}

    @contextlib.contextmanager
    def at(self, stage: str) -> Iterator[None]:
        """Count the time of the block to `stage`."""
        start = time.time() - self._began_at
        try:
            yield
        finally:
            end = time.time() - self._began_at
            first, last = self._times.get(stage, (start, end))
            self._times[stage] = (min(first, start), max(last, end))

    def spans(self, iteration: int, shard: int | None) -> list[Span]:
        """One span for each stage."""
        return [
            Span(iteration=iteration, stage=stage, shard=shard, start_s=round(start, 3), end_s=round(end, 3))
            for stage, (start, end) in self._times.items()
        ]


@dataclass(kw_only=True)
class RunContext:
    """Everything a stage needs. `truth` makes the ground truth of a prompt from its annotation, for evaluation only."""

    run: RunFile
    attempt: int
    ports: Ports
    prompts: RunPrompts
    ledger: Ledger
    artifacts: Artifacts
    truth: Callable[[str], Truth]
    metrics: RunMetrics
    began_at: float
    patience_s: float = 600.0
    keeper: PolicyKeeper = field(init=False)
    history: RunHistory = field(init=False)
    iteration: int | None = None
    """The one at work, 0 before the first; None in a process that only collects shards."""
    places: asyncio.Semaphore = field(init=False)
    """Of shards that this process has at work."""
    _reported_at: float = field(init=False, default=0.0)
    _pinned: dict[str, str] = field(init=False, default_factory=dict)
    _pinning: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.keeper = PolicyKeeper(self.ports.policy, self.patience_s)
        self.places = asyncio.Semaphore(self.run.shards_in_flight)
        self.history = RunHistory(self.ledger, self.run.name)

    @property
    def name(self) -> str:
        return self.run.name

    def stopwatch(self) -> Stopwatch:
        return Stopwatch(self.began_at)

    async def once(
        self, iteration: int, key: str, make: Callable[[], Awaitable[Entry]], *, needs: str | None = None
    ) -> Entry:
        """The entry under `key`, made now if there is none. Made again if the artifact `needs` is gone."""
        kept = await asyncio.to_thread(self.ledger.find, self.name, iteration, key)
        if kept is not None and (needs is None or self.artifacts.exists(needs)):
            return kept
        return await asyncio.to_thread(self.ledger.record, self.name, await make())

    async def find(self, iteration: int, key: str) -> Entry | None:
        """The entry under `key`, if it has been made."""
        return await asyncio.to_thread(self.ledger.find, self.name, iteration, key)

    async def note_times(self, watch: Stopwatch, iteration: int, shard: int | None = None) -> None:
        """Keep the watch's times in the ledger and in the run's timeline."""
        spans = watch.spans(iteration, shard)
        if spans:
            await asyncio.to_thread(self.ledger.add_spans, self.name, spans)
            await asyncio.to_thread(self.artifacts.append, layout.TIMELINE, timeline_jsonl(spans))
            for span in spans:
                self.metrics.stage_seconds.labels(span.stage).inc(span.end_s - span.start_s)

    async def report(
        self, iteration: int, stage: str, done: int, total: int, figures: Mapping[str, float] | None = None
    ) -> None:
        """Tell those who watch; at most four times a second, the first and the last of a stage always.

        What is collected ahead is not told: the iteration at work is.
        """
        if self.iteration is not None and self.iteration < iteration:
            return
        if 0 < done < total and not self.report_due():
            return
        self._reported_at = time.monotonic()
        progress = Progress(iteration=iteration, stage=stage, done=done, total=total, figures=dict(figures or {}))
        await asyncio.to_thread(self.ledger.set_progress, self.name, progress)

    def report_due(self) -> bool:
        """Whether a report now would be told, also if it is neither the first nor the last of its stage."""
        return time.monotonic() - self._reported_at >= _REPORT_INTERVAL_S

    async def pin_version(self, what: str, versions: set[str]) -> None:
        """Hold the run to one version of the labeler and of the decomposer. Raises Conflict if it changed."""

        async def make() -> Entry:
            return Entry(iteration=0, key=f"version:{what}", details={"version": min(versions)})

        if not versions or versions == {self._pinned.get(what)}:
            return
        async with self._pinning:
            if what not in self._pinned:
                self._pinned[what] = (await self.once(0, f"version:{what}", make)).details["version"]
        pinned = self._pinned[what]
        other = versions - {pinned}
        if other:
            raise Conflict(
                f"the {what} changed in the middle of the run, from {pinned} to {min(other)}: "
                "serve the former version and resume, or begin a run with another name"
            )
