"""The policy on vLLM: seeded samples that share their prompt's prefill, and new weights taken over while it serves.

    items ──▶ wait for rows ──▶ read picture and prompt ──▶ one request a seed ──▶ candidates, stamped
                  ▲
                  └─ closed while a whole checkpoint is exchanged: what has begun ends on the old weights

An item keeps the version that served when it began: with the base's weights because nothing is in flight when they change, with
an adapter because its requests name it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from rlaifv.adapters.huggingface.checkpoint import is_adapter, model_digest, verified_folder
from rlaifv.adapters.huggingface.decoding import Sampled
from rlaifv.adapters.vllm.engine import Engine
from rlaifv.adapters.vllm.options import VllmOptions
from rlaifv.adapters.vllm.prompts import PromptReader
from rlaifv.adapters.vllm.publishing import Publisher, Version
from rlaifv.adapters.vllm.slots import Slots
from rlaifv.adapters.vllm.weights import check_numbers
from rlaifv.core.candidates import Candidate
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.errors import InvalidInput, RlaifvError, Unavailable
from rlaifv.core.outcomes import Outcome
from rlaifv.ports.services import Generation

Candidates = tuple[Candidate, ...]

_AHEAD = 2
"""Times the engine's rows that may be under way: some prompts are read while others are answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VllmActivity:
    """What is going on now, and steps since start; for metrics. vLLM counts the rest itself."""

    waiting_items: int
    active_rows: int
    steps: int


class VllmPolicy:
    """ports.Policy on vLLM. Make it with `open`; use it in one event loop."""

    def __init__(self, engine: Engine, version: Version, options: VllmOptions) -> None:
        self._engine = engine
        self._slots = Slots(_AHEAD * options.max_rows, options.max_waiting)
        self._publisher = Publisher(engine, self._slots, version)

    @classmethod
    def open(cls, checkpoint: Checkpoint, options: VllmOptions) -> VllmPolicy:
        """Start the engine with a checkpoint; blocking, 10 s and more. `environment.prepare` must have run.

        Raises NotFound, Conflict, DataLoss, or InvalidInput where vLLM or our chat format cannot use the model.
        """
        folder = verified_folder(checkpoint)
        if is_adapter(folder):
            raise InvalidInput.field("model", str(folder), "is a LoRA adapter: start with its base, then load it")
        reader = PromptReader(folder, options.sources)
        check_numbers(folder)
        digest = checkpoint.digest or model_digest(folder)
        return cls(
            Engine.start(folder, options), Version(digest=digest, base=digest, folder=folder, reader=reader), options
        )

    async def generate(self, items: Sequence[Generation]) -> AsyncIterator[Outcome[Candidates]]:
        """See ports.services.Policy; an item that finds the queue full and nothing of its call in flight is Overloaded."""
        waiting, running = deque(items), set[asyncio.Task[Outcome[Candidates]]]()
        try:
            while waiting or running:
                while waiting and not (self._slots.full and running):
                    running.add(asyncio.create_task(self._outcome(waiting.popleft())))
                    await asyncio.sleep(0)  # it takes its place in the queue
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    yield task.result()
        finally:
            await _cancelled(running)

    async def load(self, checkpoint: Checkpoint) -> None:
        """See ports.services.Policy; how: publishing.py."""
        await self._publisher.load(checkpoint)

    async def version(self) -> str:
        """The digest of the checkpoint that answers now."""
        return self._publisher.current.digest

    def activity(self) -> VllmActivity:
        """For metrics."""
        return VllmActivity(
            waiting_items=self._slots.waiting,
            active_rows=self._engine.meter.rows,
            steps=self._engine.meter.steps,
        )

    def lost(self) -> str:
        """Why only a restart of the process makes it answer again; "" while it answers."""
        return "vLLM's engine has died" if self._engine.dead else self._publisher.lost

    async def check(self) -> None:
        """Raises Unavailable once it is lost."""
        if reason := self.lost():
            raise Unavailable(f"{reason}: the service must be restarted")

    async def close(self) -> None:
        """End the engine."""
        await self._engine.close()

    async def _outcome(self, item: Generation) -> Outcome[Candidates]:
        try:
            return Outcome(item_id=item.prompt.id, value=await self._candidates(item))
        except RlaifvError as error:
            return Outcome(item_id=item.prompt.id, error=error)

    async def _candidates(self, item: Generation) -> Candidates:
        if not item.seeds:
            raise InvalidInput.field("generation.seeds", item.seeds, "must name at least one seed")
        async with self._slots.begin(len(item.seeds)):
            with self._publisher.held() as version:
                drawn = await self._drawn(item, version)
        return tuple(
            Candidate(
                prompt_id=item.prompt.id,
                index=index,
                seed=item.seeds[index],
                text=version.reader.chat.text_of(list(answer.ids)),
                finish_reason=answer.finish,
                policy_version=version.digest,
                token_ids=answer.ids,
                token_logprobs=answer.logprobs,
            )
            for index, answer in enumerate(drawn)
        )

    async def _drawn(self, item: Generation, version: Version) -> list[Sampled]:
        """All samples of an item; the first error ends the others."""
        prompt = await asyncio.to_thread(version.reader.read, item.prompt.image, item.prompt.text)
        requests = [version.request(prompt=prompt, sampling=item.sampling, seed=seed) for seed in item.seeds]
        tasks = [asyncio.create_task(self._engine.sample(request)) for request in requests]
        try:
            return await asyncio.gather(*tasks)
        finally:
            await _cancelled(tasks)


async def _cancelled(tasks: Collection[asyncio.Task[Any]]) -> None:
    """End tasks and wait for it, so that their places are free afterwards."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
