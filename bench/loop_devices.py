"""Backends that behave as separate accelerators: each takes its time for every unit of work, a set number of units at once.

What they say follows from their input alone. The policy says false things, the fewer the more often it was trained; the labeler
knows what is true.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from bench.scenes import statement
from rlaifv.adapters.fake.decomposer import divide
from rlaifv.adapters.fake.folders import BUILT_IN, read_checkpoint, write_checkpoint
from rlaifv.core.candidates import Candidate, FinishReason
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.decomposition import Decomposition
from rlaifv.core.outcomes import Outcome
from rlaifv.core.training import TrainingJob, TrainingPhase, TrainingProgress
from rlaifv.core.verdicts import Verdict
from rlaifv.ports.services import Answer, Generation, Questions
from services.orchestrator.context import Ports

START = f"{BUILT_IN}start"
STATEMENTS = 9
"""Claims of an answer, as many as the paper's answers have."""

_SPREAD = 0.5
"""A unit takes between 1 - this and 1 + this of its mean time."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """What the stages of one iteration take one after the other; only the proportions matter."""

    generate: float
    decompose: float
    score: float
    train: float

    @property
    def in_sequence(self) -> float:
        return self.generate + self.decompose + self.score + self.train

    def ideal(self, ahead: bool) -> float:
        """Hours of an iteration at best: the slowest stage alone, and training after it, or (`ahead`) beside it."""
        slowest = max(self.generate, self.decompose, self.score)
        return max(slowest, self.train) if ahead else slowest + self.train


class Device:
    """`slots` units at once, `unit_s` seconds each on average."""

    def __init__(self, slots: int, unit_s: float) -> None:
        self._slots = asyncio.Semaphore(slots)
        self._unit_s = unit_s
        self.worked_s = 0.0

    async def work(self, key: str, units: int) -> None:
        """Do the units of one item, each as soon as a slot is free."""
        chance = random.Random(key)
        await asyncio.gather(*(self._unit(chance.uniform(1 - _SPREAD, 1 + _SPREAD)) for _ in range(units)))

    async def _unit(self, share: float) -> None:
        async with self._slots:
            await asyncio.sleep(self._unit_s * share)
            self.worked_s += self._unit_s * share


@dataclass(kw_only=True)
class Devices:
    """The four accelerators of a loop; made anew for each turn, inside the running event loop."""

    generate: Device
    decompose: Device
    score: Device
    train: Device

    @classmethod
    def at_pace(cls, hours: Hours, seconds: float, prompts: int, candidates: int, slots: int) -> Devices:
        """An iteration over `prompts` takes `seconds` in sequence, divided as the hours are."""
        scale = seconds / hours.in_sequence
        answers = prompts * candidates
        units = {"generate": answers, "decompose": answers, "score": prompts * _questions_of_a_prompt(candidates)}
        made = {name: Device(slots, getattr(hours, name) * scale * slots / count) for name, count in units.items()}
        return cls(**made, train=Device(1, hours.train * scale))

    def ports(self) -> Ports:
        """The services on them."""
        return Ports(
            policy=DevicePolicy(self.generate),
            decomposer=DeviceDecomposer(self.decompose),
            labeler=DeviceLabeler(self.score),
            trainer=DeviceTrainer(self.train),
        )


class DevicePolicy:
    """Answers are `STATEMENTS` sentences or two more or less, drawn by seed, prompt and version."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._checkpoint = read_checkpoint(Checkpoint(uri=START, digest=""))

    async def generate(self, items: Sequence[Generation]) -> AsyncIterator[Outcome[tuple[Candidate, ...]]]:
        checkpoint = self._checkpoint

        async def answer(item: Generation) -> Outcome[tuple[Candidate, ...]]:
            await self._device.work(item.prompt.id, len(item.seeds))
            return Outcome(item_id=item.prompt.id, value=answers(item, checkpoint))

        async for outcome in _as_they_come(answer, items):
            yield outcome

    async def load(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = read_checkpoint(checkpoint)

    async def version(self) -> str:
        return self._checkpoint.digest


class DeviceDecomposer:
    """A claim for each sentence."""

    def __init__(self, device: Device) -> None:
        self._device = device

    async def decompose(self, answers: Sequence[Answer]) -> AsyncIterator[Outcome[Decomposition]]:
        async def part(answer: Answer) -> Outcome[Decomposition]:
            await self._device.work(answer.id, 1)
            return Outcome(item_id=answer.id, value=divide(answer.text))

        async for outcome in _as_they_come(part, answers):
            yield outcome


class DeviceLabeler:
    """Says what is true; one unit a question."""

    def __init__(self, device: Device) -> None:
        self._device = device

    async def ask(self, items: Sequence[Questions]) -> AsyncIterator[Outcome[tuple[Verdict, ...]]]:
        async def verdicts(item: Questions) -> Outcome[tuple[Verdict, ...]]:
            await self._device.work(item.id, len(item.questions))
            return Outcome(item_id=item.id, value=tuple(verdict(item.image.sha256, one) for one in item.questions))

        async for outcome in _as_they_come(verdicts, items):
            yield outcome


class DeviceTrainer:
    """One unit a job; its checkpoint follows from the pairs and the start."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._jobs: dict[str, TrainingJob] = {}

    async def start(self, job: TrainingJob) -> None:
        self._jobs[job.id] = job

    async def watch(self, job_id: str) -> AsyncIterator[TrainingProgress]:
        job = self._jobs[job_id]
        yield TrainingProgress(phase=TrainingPhase.TRAINING, total_steps=1)
        await self._device.work("always the same", 1)
        content = {"times": _times_trained(job.policy) + 1, "pairs": job.pairs_digest, "start": job.policy.digest}
        checkpoint = write_checkpoint(Path(job.output_uri), json.dumps(content))
        yield TrainingProgress(phase=TrainingPhase.DONE, step=1, total_steps=1, loss=0.5, checkpoint=checkpoint)

    async def cancel(self, job_id: str) -> None:
        """It ends by itself."""


def answers(item: Generation, checkpoint: Checkpoint) -> tuple[Candidate, ...]:
    """What the policy says: a pure function."""
    truthful = 1 - 0.5 / (1 + _times_trained(checkpoint))
    return tuple(
        Candidate(
            prompt_id=item.prompt.id,
            index=index,
            seed=seed,
            text=_text(item.prompt.id, item.prompt.image.sha256, seed, checkpoint.digest, truthful),
            finish_reason=FinishReason.STOP,
            policy_version=checkpoint.digest,
        )
        for index, seed in enumerate(item.seeds)
    )


def verdict(image_sha256: str, question: str) -> Verdict:
    """What the labeler says: a pure function."""
    first = hashlib.sha256(f"{image_sha256} {question}".encode()).digest()[0]
    return Verdict(question=question, p_yes=first / 256, p_no=1 - first / 256, labeler_version="device-labeler/1")


@lru_cache(maxsize=1 << 17)  # a model does not think on the loop's processor
def _text(prompt_id: str, image_sha256: str, seed: int, version: str, truthful: float) -> str:
    chance = random.Random(f"{seed} {prompt_id} {version}")
    said = []
    for _ in range(chance.randint(STATEMENTS - 2, STATEMENTS + 2)):
        drawn = [statement(chance)[0] for _ in range(2)]
        # A model that knows better says the truer one of two things that came to its mind.
        better = max(drawn, key=lambda text: _share(image_sha256, text))
        said.append(better if chance.random() < truthful else drawn[0])
    return " ".join(said)


def _share(image_sha256: str, text: str) -> float:
    return verdict(image_sha256, divide(text).claims[0].question).p_yes


def _times_trained(checkpoint: Checkpoint) -> int:
    if checkpoint.uri.startswith(BUILT_IN):
        return 0
    return int(json.loads(json.loads((Path(checkpoint.uri) / "config.json").read_text())["content"])["times"])


def _questions_of_a_prompt(candidates: int) -> float:
    """Different questions that the answers to one prompt raise, on average: nearly all, from so many possible ones."""
    chance = random.Random(0)
    drawn = [len({statement(chance)[1] for _ in range(candidates * STATEMENTS)}) for _ in range(100)]
    return sum(drawn) / len(drawn)


async def _as_they_come(
    call: Callable[[T], Coroutine[Any, Any, Outcome[R]]], items: Sequence[T]
) -> AsyncIterator[Outcome[R]]:
    tasks = [asyncio.create_task(call(item)) for item in items]
    try:
        for done in asyncio.as_completed(tasks):
            yield await done
    finally:
        for task in tasks:
            task.cancel()
