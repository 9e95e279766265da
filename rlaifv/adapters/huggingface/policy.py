"""The policy on transformers: seeded samples in one continuous batch, and new weights taken over while it serves.

One engine is one version of the weights with its own thread. A new checkpoint becomes a new engine beside the old one; what the
old one accepted it finishes, so requests in flight end on the version they began with.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

import structlog
import torch

from rlaifv.adapters.huggingface.decoder import Decoder
from rlaifv.adapters.huggingface.decoding import DecodingBatch, Group, Sampled
from rlaifv.adapters.huggingface.inbox import Inbox, Ticket, outcomes
from rlaifv.adapters.huggingface.loading import LoadedModel, load_model
from rlaifv.adapters.huggingface.reading import ImageReader, SeenImage
from rlaifv.adapters.huggingface.vision import FeatureCache
from rlaifv.adapters.images import ImageSources
from rlaifv.core.candidates import Candidate
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.errors import BackendFailed, InvalidInput, RlaifvError, Unavailable
from rlaifv.core.outcomes import Outcome
from rlaifv.core.training import Precision
from rlaifv.ports.services import Generation

log = structlog.get_logger(__name__)

Candidates = tuple[Candidate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyOptions:
    """How a policy runs. `max_rows` samples are decoded together; `max_waiting` prompts wait before Overloaded.

    `threads` is torch's number of CPU threads (None: as torch finds). On cores that others use too, 1 is many times faster than
    2: a parallel region waits for its slowest thread.
    """

    precision: Precision = Precision.FP32
    device: str = "cpu"
    threads: int | None = None
    max_rows: int = 96
    max_waiting: int = 1024
    feature_cache_bytes: int = 256 * 1024 * 1024
    sources: ImageSources = field(default_factory=ImageSources)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyActivity:
    """Counts since start (all versions), and what is going on now; for metrics."""

    candidates: int
    tokens: int
    steps: int
    waiting_items: int
    active_rows: int


class PolicyEngine:
    """One version of the policy. Everything that touches the model happens in its thread."""

    def __init__(self, loaded: LoadedModel, features: FeatureCache[SeenImage], options: PolicyOptions) -> None:
        self.version = loaded.digest
        self.candidates = self.tokens = self.steps = 0
        self.inbox: Inbox[Generation, Candidates] = Inbox(options.max_waiting)
        self._threads = options.threads
        decoder = Decoder(loaded.model)
        self._loaded = loaded
        self._batch = DecodingBatch(decoder, loaded.end_tokens, options.max_rows)
        self._reader = ImageReader(loaded, decoder, features, options.sources)
        self._groups: dict[Group, Ticket[Generation, Candidates]] = {}
        self._thread = threading.Thread(target=self._serve, name=f"policy-{self.version[:8]}", daemon=True)
        self._thread.start()

    @property
    def active_rows(self) -> int:
        return self._batch.active

    def close(self) -> None:
        """Finish what was accepted, then free the weights; returns at once."""
        self.inbox.close()

    @property
    def ended(self) -> bool:
        """Whether `close` has done its work."""
        return not self._thread.is_alive()

    def join(self) -> None:
        """Wait for the end of `close`."""
        self._thread.join()

    def _serve(self) -> None:
        if self._threads:
            torch.set_num_threads(self._threads)
        with torch.inference_mode():
            while self._turn():
                pass

    def _turn(self) -> bool:
        """Accept what there is room for and take one step; False when closed and idle."""
        closed = self._accept()
        if self._batch.idle:
            return not closed
        for group, owner in self._groups.items():
            group.cancelled = owner.cancelled
        try:
            done = self._batch.step()
        except Exception as exc:  # noqa: BLE001 - top of the worker's loop: answer everybody, keep serving
            self._fail_all(exc)
            return True
        self.steps += 1
        for group in done:
            self._finish(group)
        for group in [g for g in self._groups if g.cancelled]:
            del self._groups[group]
        return True

    def _accept(self) -> bool:
        """Read prompts while there is room; waits for one if nothing is in flight. True when closed and idle."""
        while self._batch.has_room:
            ticket = self.inbox.take(block=self._batch.idle)
            if ticket is None:
                return self._batch.idle
            self._begin(ticket)
        return False

    def _begin(self, ticket: Ticket[Generation, Candidates]) -> None:
        item = ticket.item
        try:
            if not item.seeds:
                raise InvalidInput.field("generation.seeds", item.seeds, "must name at least one seed")
            prefix = self._reader.read_prompt(item.prompt.image, item.prompt.text)
            group = Group(prefix=prefix, seeds=item.seeds, sampling=item.sampling)
            self._batch.add(group)
            self._groups[group] = ticket
        except RlaifvError as error:
            ticket.fail(error)
        except Exception as exc:
            log.exception("prompt_failed", prompt_id=item.prompt.id)
            ticket.fail(BackendFailed(f"prompt {item.prompt.id!r}: the model failed to read it ({type(exc).__name__})"))

    def _finish(self, group: Group) -> None:
        ticket = self._groups.pop(group)
        item = ticket.item
        answers = [answer for answer in group.answers if answer is not None]
        self.candidates += len(answers)
        self.tokens += sum(len(answer.ids) for answer in answers)
        ticket.succeed(tuple(self._candidate(item, index, answer) for index, answer in enumerate(answers)))

    def _candidate(self, item: Generation, index: int, answer: Sampled) -> Candidate:
        return Candidate(
            prompt_id=item.prompt.id,
            index=index,
            seed=item.seeds[index],
            text=self._loaded.chat.text_of(list(answer.ids)),
            finish_reason=answer.finish,
            policy_version=self.version,
            token_ids=answer.ids,
            token_logprobs=answer.logprobs,
        )

    def _fail_all(self, exc: Exception) -> None:
        log.error("decoding_failed", error=str(exc), items=len(self._groups), exc_info=exc)
        for ticket in self._groups.values():
            ticket.fail(BackendFailed(f"the model failed while decoding ({type(exc).__name__})"))
        self._groups.clear()
        self._batch.reset()


class HuggingFacePolicy:
    """ports.Policy on transformers. Make it with `open`."""

    def __init__(self, loaded: LoadedModel, options: PolicyOptions = PolicyOptions()) -> None:
        self._options = options
        self._features: FeatureCache[SeenImage] = FeatureCache(options.feature_cache_bytes)
        self._engine = PolicyEngine(loaded, self._features, options)
        self._retired: list[PolicyEngine] = []
        self._past = PolicyActivity(candidates=0, tokens=0, steps=0, waiting_items=0, active_rows=0)
        self._loading = asyncio.Lock()

    @classmethod
    def open(cls, checkpoint: Checkpoint, options: PolicyOptions = PolicyOptions()) -> HuggingFacePolicy:
        """Load a checkpoint and start serving it; blocking. Errors as `loading.load_model`."""
        return cls(load_model(checkpoint, options.precision, options.device), options)

    def generate(self, items: Sequence[Generation]) -> AsyncIterator[Outcome[Candidates]]:
        """See ports.services.Policy; an item that finds the queue full and nothing of its call in flight is Overloaded."""
        return outcomes(
            items, lambda item, deliver: self._engine.inbox.submit(item, item.prompt.id, deliver), _prompt_id
        )

    async def load(self, checkpoint: Checkpoint) -> None:
        """See ports.services.Policy. Old and new weights are in memory together until the old ones' requests are done."""
        async with self._loading:
            if checkpoint.digest and checkpoint.digest == self._engine.version:
                return
            loaded = await asyncio.to_thread(load_model, checkpoint, self._options.precision, self._options.device)
            if loaded.digest == self._engine.version:
                return
            old, self._engine = self._engine, PolicyEngine(loaded, self._features, self._options)
            old.close()
            self._forget_ended()
            self._retired.append(old)
            log.info("policy_loaded", version=loaded.digest, before=old.version)

    async def version(self) -> str:
        """The digest of the checkpoint that answers now."""
        return self._engine.version

    def activity(self) -> PolicyActivity:
        """For metrics."""
        self._forget_ended()
        engines = [*self._retired, self._engine]
        return PolicyActivity(
            candidates=self._past.candidates + sum(engine.candidates for engine in engines),
            tokens=self._past.tokens + sum(engine.tokens for engine in engines),
            steps=self._past.steps + sum(engine.steps for engine in engines),
            waiting_items=sum(len(engine.inbox) for engine in engines),
            active_rows=sum(engine.active_rows for engine in engines),
        )

    async def check(self) -> None:
        """Raises Unavailable where the model's thread has died."""
        if self._engine.ended:
            raise Unavailable("the policy's thread has died: restart the service")

    def _forget_ended(self) -> None:
        """Let go of the weights of old versions that nobody waits for any more; their counts are kept."""
        for engine in [engine for engine in self._retired if engine.ended]:
            self._retired.remove(engine)
            self._past = replace(
                self._past,
                candidates=self._past.candidates + engine.candidates,
                tokens=self._past.tokens + engine.tokens,
                steps=self._past.steps + engine.steps,
            )

    async def close(self) -> None:
        """Finish what was accepted and free the weights."""
        self._engine.close()
        for engine in [*self._retired, self._engine]:
            await asyncio.to_thread(engine.join)


def _prompt_id(item: Generation) -> str:
    return item.prompt.id
