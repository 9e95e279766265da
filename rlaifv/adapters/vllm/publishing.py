"""Which weights answer, and how others take their place without a restart.

    whole model   check on disk ─▶ nobody begins, what has begun ends ─▶ reload, clear caches ─▶ ask the new weights ─▶ go on
                                                                                      └─ failed ─▶ the old ones again, asked too
    adapter       check on disk ─▶ load beside the others ─▶ ask it ─▶ what begins now names it; the old one goes when unused

Everything that can be known beforehand is checked while the old weights serve. An engine whose old weights do not come back is
lost: it answers nothing any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import structlog

from rlaifv.adapters.huggingface.checkpoint import adapter_base, is_adapter, model_digest, verified_folder
from rlaifv.adapters.huggingface.decoding import Sampled
from rlaifv.adapters.vllm.engine import Engine, Request
from rlaifv.adapters.vllm.prompts import PromptReader
from rlaifv.adapters.vllm.slots import Slots
from rlaifv.adapters.vllm.weights import check_adapter, check_exchange, check_numbers
from rlaifv.core.candidates import Sampling
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.errors import BackendFailed, InvalidInput, Unavailable

log = structlog.get_logger(__name__)

_PROBE: Final = Sampling(temperature=0.0, max_new_tokens=4)
_SAME: Final = 1e-3
"""Largest difference of log-probabilities between two probes of the same weights."""


@dataclass(slots=True, kw_only=True, eq=False)
class Version:
    """What answers: the model `base` in `folder`, with `adapter` on it if there is one. `items` were begun with it and go on."""

    digest: str
    base: str
    folder: Path
    reader: PromptReader
    adapter: Any = None
    items: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    def request(self, **values: Any) -> Request:
        """A request to these weights."""
        return Request(end_tokens=self.reader.end_tokens, base=self.base, adapter=self.adapter, **values)


class Publisher:
    """Holds the version that answers now. Use it in one event loop."""

    def __init__(self, engine: Engine, slots: Slots, version: Version) -> None:
        self._engine = engine
        self._slots = slots
        self._loading = asyncio.Lock()
        self._leaving: set[asyncio.Task[None]] = set()
        self.current = version
        self.lost = ""

    @contextmanager
    def held(self) -> Iterator[Version]:
        """The version that answers now, kept until the end of the block. Raises Unavailable where the engine is lost."""
        if self.lost:
            raise Unavailable(self.lost)
        version = self.current
        version.items += 1
        version.idle.clear()
        try:
            yield version
        finally:
            version.items -= 1
            if version.items == 0:
                version.idle.set()

    async def load(self, checkpoint: Checkpoint) -> None:
        """Let a checkpoint answer what begins from now on. It is carried through even if the caller leaves.

        Raises NotFound, Conflict, DataLoss or InvalidInput for a checkpoint that cannot take over; BackendFailed where vLLM
        failed to load it.
        """
        task = asyncio.create_task(self._load(checkpoint))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.shield(task)

    async def _load(self, checkpoint: Checkpoint) -> None:
        async with self._loading:
            before = self.current.digest
            if checkpoint.digest and checkpoint.digest == before:
                return
            folder = await asyncio.to_thread(verified_folder, checkpoint)
            digest = checkpoint.digest or await asyncio.to_thread(model_digest, folder)
            if digest == before:
                return
            if is_adapter(folder):
                await self._take_adapter(folder, digest)
            else:
                await self._take_model(await asyncio.to_thread(self._model, folder, digest))
            log.info("policy_loaded", version=self.current.digest, base=self.current.base, before=before)

    async def _take_model(self, model: Version) -> None:
        if model.base == self.current.base:  # the adapter goes, the model stays
            self._switch(model)
            return
        async with self._slots.closed():
            await self._exchange(model)

    async def _take_adapter(self, folder: Path, digest: str) -> None:
        if not self._engine.max_lora_rank:
            raise InvalidInput.field(
                "checkpoint.uri",
                str(folder),
                "is an adapter; vLLM takes none for this family, or vllm_max_lora_rank is 0",
            )
        base = await asyncio.to_thread(self._base, folder)
        speaks = await asyncio.to_thread(check_adapter, folder, base.folder, self._engine.max_lora_rank)
        await asyncio.to_thread(check_numbers, folder)
        # There are places for two: the one that answers and the one that comes.
        await asyncio.gather(*self._leaving)
        if base.base == self.current.base:
            self._switch(await self._adapted(base, folder, digest, speaks))
            return
        async with self._slots.closed():
            await self._exchange(base)
            self._switch(await self._adapted(base, folder, digest, speaks))

    def _base(self, adapter: Path) -> Version:
        """The model that an adapter goes on."""
        folder = adapter_base(adapter)
        return self._model(folder, model_digest(folder))

    def _model(self, folder: Path, digest: str) -> Version:
        """The model that is loaded, or another that may take its place; blocking, reads all its weights."""
        current = self.current
        if digest == current.base:
            return Version(digest=digest, base=digest, folder=current.folder, reader=current.reader)
        reader = current.reader.like(folder)
        check_exchange(current.folder, folder)
        check_numbers(folder)
        return Version(digest=digest, base=digest, folder=folder, reader=reader)

    async def _adapted(self, base: Version, folder: Path, digest: str, speaks: bool) -> Version:
        """An adapter, loaded, and asked whether it does anything: vLLM passes over what it cannot apply."""
        adapter = await self._engine.add_adapter(str(folder), digest)
        version = Version(digest=digest, base=base.base, folder=base.folder, reader=base.reader, adapter=adapter)
        try:
            if _same(await self._ask(version), await self._ask(base)) and speaks:
                raise InvalidInput.field(
                    "checkpoint.uri", str(folder), "vLLM loads the adapter, but it changes no answer"
                )
        except BaseException:
            await self._engine.remove_adapter(adapter)
            raise
        return version

    async def _exchange(self, model: Version) -> None:
        """Load a model in place of the loaded one and let it answer; nothing may be under way."""
        old = Version(
            digest=self.current.base, base=self.current.base, folder=self.current.folder, reader=self.current.reader
        )
        said = await self._ask(old)
        try:
            async with self._engine.paused():
                try:
                    await self._engine.exchange(model.folder, model.base)
                except BackendFailed:
                    # Half-loaded weights may not compute anything, not even a step without requests.
                    await self._engine.exchange(old.folder, old.base)
                    raise
            await self._ask(model)
        except BackendFailed as error:
            log.error("policy_not_loaded", folder=str(model.folder), error=error.message)
            await self._restore(old, said)
            raise
        self._switch(model)

    async def _restore(self, old: Version, said: Sampled) -> None:
        """The old weights again, and proof that it is them."""
        try:
            async with self._engine.paused():
                await self._engine.exchange(old.folder, old.base)
            same = _same(await self._ask(old), said)
        except BackendFailed as error:
            self.lost = f"neither the new nor the old weights load: {error.message}"
        else:
            self.lost = "" if same else "after a failed load the old weights answer otherwise than before"
        if self.lost:
            log.error("policy_lost", why=self.lost)

    def _switch(self, version: Version) -> None:
        old, self.current = self.current, version
        if old.items == 0:
            old.idle.set()
        if old.adapter is not None:
            leaving = asyncio.create_task(self._remove(old))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)

    async def _remove(self, version: Version) -> None:
        await version.idle.wait()
        try:
            await self._engine.remove_adapter(version.adapter)
        except (BackendFailed, Unavailable) as error:
            log.warning("adapter_not_removed", version=version.digest, error=error.message)

    async def _ask(self, version: Version) -> Sampled:
        return await self._engine.sample(version.request(prompt=version.reader.probe(), sampling=_PROBE, seed=0))


def _same(one: Sampled, other: Sampled) -> bool:
    return one.ids == other.ids and all(abs(a - b) <= _SAME for a, b in zip(one.logprobs, other.logprobs, strict=True))
