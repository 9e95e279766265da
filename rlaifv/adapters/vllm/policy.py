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
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import structlog

from rlaifv.adapters.huggingface.checkpoint import model_digest, verified_folder
from rlaifv.adapters.vllm.engine import Drawn, Engine, Request
from rlaifv.adapters.vllm.options import VllmOptions
from rlaifv.adapters.vllm.prompts import PromptReader
from rlaifv.adapters.vllm.slots import Slots
from rlaifv.core.candidates import Candidate
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.errors import InvalidInput, RlaifvError, Unavailable
from rlaifv.core.outcomes import Outcome
from rlaifv.ports.services import Generation

log = structlog.get_logger(__name__)

Candidates = tuple[Candidate, ...]

_AHEAD = 2
"""Times the engine's rows that may be under way: some prompts are read while others are answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VllmActivity:
    """What is going on now, and counts since start; for metrics. `shared_tokens` of prompts were computed only once."""

    waiting_items: int
    active_rows: int
    steps: int
    prompt_tokens: int
    shared_tokens: int


class VllmPolicy:
    """ports.Policy on vLLM. Make it with `open`; use it in one event loop."""

    def __init__(self, engine: Engine, reader: PromptReader, version: str, options: VllmOptions) -> None:
        self._engine = engine
        self._reader = reader
        self._version = version
        self._slots = Slots(_AHEAD * options.max_rows, options.max_waiting)
        self._prompt_tokens = self._shared_tokens = 0

    @classmethod
    def open(cls, checkpoint: Checkpoint, options: VllmOptions) -> VllmPolicy:
        """Start the engine with a checkpoint; blocking, 10 s and more. `environment.prepare` must have run.

        Raises NotFound, Conflict, DataLoss, or InvalidInput where vLLM or our chat format cannot use the model.
        """
        folder = verified_folder(checkpoint)
        version = checkpoint.digest or model_digest(folder)
        reader = PromptReader(folder, options.sources)
        return cls(Engine.start(folder, options), reader, version, options)

    async def generate(self, items: Sequence[Generation]) -> AsyncIterator[Outcome[Candidates]]:
        """See ports.services.Policy; an item that finds the queue full and nothing of its call in flight is Overloaded."""
        waiting, running = deque(items), set[asyncio.Task[Outcome[Candidates]]]()
        try:
            while waiting or running:
                while waiting and not (self._slots.full and running):
                    running.add(asyncio.create_task(self._outcome(waiting.popleft())))
                    await asyncio.sleep(0)
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    yield task.result()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def load(self, checkpoint: Checkpoint) -> None:
        """See ports.services.Policy."""
        raise NotImplementedError

    async def version(self) -> str:
        """The digest of the checkpoint that answers now."""
        return self._version

    def activity(self) -> VllmActivity:
        """For metrics."""
        return VllmActivity(
            waiting_items=self._slots.waiting,
            active_rows=self._engine.meter.rows,
            steps=self._engine.meter.steps,
            prompt_tokens=self._prompt_tokens,
            shared_tokens=self._shared_tokens,
        )

    async def check(self) -> None:
        """Raises Unavailable once the engine is dead."""
        if self._engine.dead:
            raise Unavailable("vLLM's engine has died: the service must be restarted")

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
            version, reader = self._version, self._reader
            prompt = await asyncio.to_thread(reader.read, item.prompt.image, item.prompt.text)
            requests = [
                Request(prompt=prompt, sampling=item.sampling, seed=seed, end_tokens=reader.end_tokens)
                for seed in item.seeds
            ]
            drawn = await self._draw(requests)
        return tuple(
            Candidate(
                prompt_id=item.prompt.id,
                index=index,
                seed=item.seeds[index],
                text=reader.chat.text_of(list(answer.ids)),
                finish_reason=answer.finish,
                policy_version=version,
                token_ids=answer.ids,
                token_logprobs=answer.logprobs,
            )
            for index, answer in enumerate(drawn)
        )

    async def _draw(self, requests: Sequence[Request]) -> list[Drawn]:
        """All samples of an item; the first error ends the others."""
        tasks = [asyncio.create_task(self._engine.sample(request)) for request in requests]
        try:
            drawn = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._prompt_tokens += sum(answer.prompt_tokens for answer in drawn)
        self._shared_tokens += sum(answer.cached_tokens for answer in drawn)
        return drawn
