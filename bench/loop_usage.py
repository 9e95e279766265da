"""How busy the backends of a loop are, seen at their ports: time with work in hand, and time without any while some was ready."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from rlaifv.core.candidates import Candidate, FinishReason
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.claims import content_id
from rlaifv.core.decomposition import Decomposition
from rlaifv.core.outcomes import Outcome
from rlaifv.core.training import TrainingJob, TrainingProgress
from rlaifv.core.verdicts import Verdict
from rlaifv.ports.services import Answer, Decomposer, Generation, Labeler, Policy, Questions, Trainer
from services.orchestrator.context import Ports

STAGES = ("generate", "decompose", "score", "train")

T = TypeVar("T")


@dataclass(slots=True)
class StageUse:
    """Seconds in which the backend had at least one item in hand, and in which it had none although some were ready for it.

    An item is ready for `generate` from the start of its iteration's collecting, for the other stages once the stage before
    has given it out. `calls` counts items.
    """

    busy_s: float = 0.0
    idle_with_work_s: float = 0.0
    calls: int = 0
    in_hand: int = 0
    ready: int = 0


class Usage:
    """Counts for one turn. `prompts` are the training prompts of an iteration."""

    def __init__(self, prompts: int) -> None:
        self.stages = {stage: StageUse() for stage in STAGES}
        self._prompts = prompts
        self.began_at: float | None = None
        """When the first backend was first asked, seconds since the epoch."""
        self._at = time.perf_counter()
        self._answers: dict[str, str] = {}
        self._undivided: dict[str, set[str]] = {}
        self._with_claims: set[str] = set()
        self._ready: dict[str, set[str]] = {stage: set() for stage in STAGES}

    def watch(self, ports: Ports) -> Ports:
        """The ports, counted."""
        return Ports(
            policy=_CountedPolicy(ports.policy, self),
            decomposer=_CountedDecomposer(ports.decomposer, self),
            labeler=_CountedLabeler(ports.labeler, self),
            trainer=_CountedTrainer(ports.trainer, self),
        )

    def finish(self) -> dict[str, StageUse]:
        """The figures up to now."""
        self._tick()
        return {stage: replace(use) for stage, use in self.stages.items()}

    def took(self, stage: str, ids: Sequence[str]) -> None:
        """Items went to the backend."""
        self._tick()
        self.began_at = self.began_at or time.time()
        use = self.stages[stage]
        use.in_hand += len(ids)
        use.calls += len(ids)
        if stage != "generate":  # whose prompts are counted, see below
            self._ready[stage].difference_update(ids)
            use.ready = len(self._ready[stage])

    def gave(self, stage: str, count: int = 1) -> None:
        """Items came back, or were given up."""
        self._tick()
        self.stages[stage].in_hand -= count

    def took_prompts(self, items: Sequence[Generation]) -> None:
        """As `took`; sampled answers are those of training prompts, of which an iteration has a known number."""
        self.took("generate", [item.prompt.id for item in items])
        use = self.stages["generate"]
        sampled = sum(item.sampling.temperature > 0 for item in items)
        left = use.ready or (self._prompts if sampled else 0)
        use.ready = max(0, left - sampled)

    def answered(self, prompt_id: str, candidates: Sequence[Candidate]) -> None:
        """The answers of a prompt are ready to be divided."""
        whole = [c.text for c in candidates if c.text.strip() and c.finish_reason is not FinishReason.LENGTH]
        ids = {content_id("answer", prompt_id, text) for text in whole}
        self._answers |= dict.fromkeys(ids, prompt_id)
        self._undivided[prompt_id] = ids
        self._with_claims.discard(prompt_id)
        self._make_ready("decompose", ids)

    def divided(self, answer_id: str, parts: Decomposition | None) -> None:
        """Once the last of a prompt's answers is divided, its questions are ready."""
        prompt_id = self._answers.get(answer_id)
        if prompt_id is None:
            return
        self._undivided[prompt_id].discard(answer_id)
        if parts is not None and parts.claims:
            self._with_claims.add(prompt_id)
        if not self._undivided[prompt_id] and prompt_id in self._with_claims:
            self._make_ready("score", {prompt_id})

    def _make_ready(self, stage: str, ids: set[str]) -> None:
        self._tick()
        self._ready[stage] |= ids
        self.stages[stage].ready = len(self._ready[stage])

    def _tick(self) -> None:
        now = time.perf_counter()
        for use in self.stages.values():
            if use.in_hand > 0:
                use.busy_s += now - self._at
            elif use.ready > 0:
                use.idle_with_work_s += now - self._at
        self._at = now


class _Counted(Generic[T]):
    def __init__(self, port: T, usage: Usage) -> None:
        self._port = port
        self._usage = usage


class _CountedPolicy(_Counted[Policy]):
    async def generate(self, items: Sequence[Generation]) -> AsyncIterator[Outcome[tuple[Candidate, ...]]]:
        self._usage.took_prompts(items)
        left = len(items)
        try:
            async for outcome in self._port.generate(items):
                left -= 1
                self._usage.gave("generate")
                self._usage.answered(outcome.item_id, outcome.value or ())
                yield outcome
        finally:
            self._usage.gave("generate", left)

    async def load(self, checkpoint: Checkpoint) -> None:
        await self._port.load(checkpoint)

    async def version(self) -> str:
        return await self._port.version()


class _CountedDecomposer(_Counted[Decomposer]):
    async def decompose(self, answers: Sequence[Answer]) -> AsyncIterator[Outcome[Decomposition]]:
        self._usage.took("decompose", [answer.id for answer in answers])
        left = len(answers)
        try:
            async for outcome in self._port.decompose(answers):
                left -= 1
                self._usage.gave("decompose")
                self._usage.divided(outcome.item_id, outcome.value)
                yield outcome
        finally:
            self._usage.gave("decompose", left)


class _CountedLabeler(_Counted[Labeler]):
    async def ask(self, items: Sequence[Questions]) -> AsyncIterator[Outcome[tuple[Verdict, ...]]]:
        self._usage.took("score", [item.id for item in items])
        left = len(items)
        try:
            async for outcome in self._port.ask(items):
                left -= 1
                self._usage.gave("score")
                yield outcome
        finally:
            self._usage.gave("score", left)


class _CountedTrainer(_Counted[Trainer]):
    async def start(self, job: TrainingJob) -> None:
        await self._port.start(job)

    async def watch(self, job_id: str) -> AsyncIterator[TrainingProgress]:
        self._usage.took("train", [job_id])
        try:
            async for progress in self._port.watch(job_id):
                yield progress
        finally:
            self._usage.gave("train")

    async def cancel(self, job_id: str) -> None:
        await self._port.cancel(job_id)
