"""The four services as the orchestrator sees them. Every implementation passes tests/contract."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from rlaifv.core.candidates import Candidate, Prompt, Sampling
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.decomposition import Decomposition
from rlaifv.core.images import Image
from rlaifv.core.outcomes import Outcome
from rlaifv.core.training import TrainingJob, TrainingProgress
from rlaifv.core.verdicts import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """Answer `prompt` once for each seed, all with the same decoding parameters."""

    prompt: Prompt
    seeds: tuple[int, ...]
    sampling: Sampling = field(default_factory=Sampling)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer to divide into claims; `prompt` is the question it answers ("" where there is none)."""

    id: str
    text: str
    prompt: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """Yes/no questions about one image. `id` comes back on the outcome."""

    id: str
    image: Image
    questions: tuple[str, ...]


class Policy(Protocol):
    """The model that is being aligned."""

    def generate(self, items: Sequence[Generation]) -> AsyncIterator[Outcome[tuple[Candidate, ...]]]:
        """One outcome per item (`item_id` = prompt id), in any order; candidates in the order of the seeds.

        The same seed, prompt, parameters and version give the same text whatever else is asked at the time. All candidates
        of an item come from one version. An item's own fault is its outcome's error; the iterator raises only where the
        service as a whole fails (Unavailable, Cancelled, DeadlineExceeded).
        """
        ...

    async def load(self, checkpoint: Checkpoint) -> None:
        """Serve `checkpoint` from now on; items in flight end on the version they began with.

        Raises NotFound if there is no such folder, InvalidInput if it is no model, Conflict if its digest differs from the
        stated one; after an error the old version goes on serving. Loading what is served already does nothing.
        """
        ...

    async def version(self) -> str:
        """The digest of the checkpoint that answers now."""
        ...


class Decomposer(Protocol):
    """Divides answers into atomic claims."""

    def decompose(self, answers: Sequence[Answer]) -> AsyncIterator[Outcome[Decomposition]]:
        """One outcome per answer (`item_id` = answer id), in any order. Nothing is truncated."""
        ...


class Labeler(Protocol):
    """Looks at an image and answers yes/no questions."""

    def ask(self, items: Sequence[Questions]) -> AsyncIterator[Outcome[tuple[Verdict, ...]]]:
        """One outcome per item, in any order; verdicts in the order of its questions, independent of batching."""
        ...


class Trainer(Protocol):
    """Turns preference pairs into a checkpoint."""

    async def start(self, job: TrainingJob) -> None:
        """Begin or resume. A job with a known id and the same content goes on; other content raises Conflict."""
        ...

    def watch(self, job_id: str) -> AsyncIterator[TrainingProgress]:
        """Progress from now to the end; the last report is `over`. Raises NotFound for an unknown id."""
        ...

    async def cancel(self, job_id: str) -> None:
        """Stop at the next step; what is complete stays on disk. Does nothing if the job is over."""
        ...
