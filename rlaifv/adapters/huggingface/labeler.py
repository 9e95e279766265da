"""The labeler on transformers: yes or no to questions about a picture (RLAIF-V, sec. 3.2, "conquer").

Each picture is read once and its distinct questions branch from it, in passes that the questions of several waiting pictures fill
(questions.py). A verdict does not depend on what else is asked (branches.py).
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field

import structlog
import torch

from rlaifv.adapters.huggingface.decoder import Decoder
from rlaifv.adapters.huggingface.inbox import Inbox, Ticket, outcomes
from rlaifv.adapters.huggingface.loading import LoadedModel, load_model
from rlaifv.adapters.huggingface.questions import Answers, Asked, QuestionBranches
from rlaifv.adapters.huggingface.reading import ImageReader, SeenImage
from rlaifv.adapters.huggingface.vision import FeatureCache
from rlaifv.adapters.images import ImageSources
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.errors import RlaifvError, Unavailable
from rlaifv.core.outcomes import Outcome
from rlaifv.core.training import Precision
from rlaifv.core.verdicts import Verdict
from rlaifv.ports.services import Questions

log = structlog.get_logger(__name__)

Verdicts = tuple[Verdict, ...]
_Ticket = Ticket[Questions, Verdicts]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelerOptions:
    """How a labeler runs. `branch_bytes` bounds the keys and values of the questions in one forward pass; `threads` as for
    PolicyOptions."""

    precision: Precision = Precision.FP32
    device: str = "cpu"
    threads: int | None = None
    max_waiting: int = 4096
    feature_cache_bytes: int = 256 * 1024 * 1024
    branch_bytes: int = 1024 * 1024 * 1024
    sources: ImageSources = field(default_factory=ImageSources)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelerActivity:
    """Counts since start, what waits now, and the rows of the last pass; for metrics. `asked` counts repetitions once."""

    items: int
    questions: int
    asked: int
    forward_passes: int
    waiting_items: int
    rows: int


class HuggingFaceLabeler:
    """ports.Labeler on transformers, with a thread of its own. Make it with `open`."""

    def __init__(self, loaded: LoadedModel, options: LabelerOptions = LabelerOptions()) -> None:
        """Raises InvalidInput if the model has no single token for yes or for no."""
        self.version = loaded.digest
        self._threads = options.threads
        self._inbox: Inbox[Questions, Verdicts] = Inbox(options.max_waiting)
        self._items = self._questions = self._asked_once = 0
        decoder = Decoder(loaded.model)
        features: FeatureCache[SeenImage] = FeatureCache(options.feature_cache_bytes)
        reader = ImageReader(loaded, decoder, features, options.sources)
        self._branches = QuestionBranches(loaded, decoder, reader, options.branch_bytes)
        self._thread = threading.Thread(target=self._serve, name=f"labeler-{self.version[:8]}", daemon=True)
        self._thread.start()

    @classmethod
    def open(cls, checkpoint: Checkpoint, options: LabelerOptions = LabelerOptions()) -> HuggingFaceLabeler:
        """Load a checkpoint and start answering; blocking. Errors as `loading.load_model`, and as the constructor."""
        return cls(load_model(checkpoint, options.precision, options.device), options)

    def ask(self, items: Sequence[Questions]) -> AsyncIterator[Outcome[Verdicts]]:
        """See ports.services.Labeler. A question that cannot be asked is the error of its item."""
        return outcomes(items, lambda item, deliver: self._inbox.submit(item, item.id, deliver), _item_id)

    def activity(self) -> LabelerActivity:
        """For metrics."""
        return LabelerActivity(
            items=self._items,
            questions=self._questions,
            asked=self._asked_once,
            forward_passes=self._branches.forward_passes,
            waiting_items=len(self._inbox),
            rows=self._branches.rows,
        )

    async def check(self) -> None:
        """Raises Unavailable where the model's thread has died."""
        if not self._thread.is_alive():
            raise Unavailable("the labeler's thread has died: restart the service")

    def close(self) -> None:
        """Answer what was accepted, then end; blocking."""
        self._inbox.close()
        self._thread.join()

    def _serve(self) -> None:
        if self._threads:
            torch.set_num_threads(self._threads)
        with torch.inference_mode():
            while (ticket := self._inbox.take(block=True)) is not None:
                self._answer(ticket)

    def _answer(self, first: _Ticket) -> None:
        """Answer a ticket and what else is waiting, taken one by one as a pass has room for it."""
        taken: list[_Ticket] = []

        def waiting() -> Iterator[Asked]:
            ticket: _Ticket | None = first
            while ticket is not None:
                taken.append(ticket)
                yield Asked(image=ticket.item.image, questions=ticket.item.questions)
                ticket = self._inbox.take(block=False)

        for number, answers in self._branches.ask(waiting()):
            self._deliver(taken[number], answers)

    def _deliver(self, ticket: _Ticket, answers: Answers | RlaifvError) -> None:
        if isinstance(answers, RlaifvError):
            ticket.fail(answers)
            return
        questions = ticket.item.questions
        self._items += 1
        self._questions += len(questions)
        self._asked_once += len(answers)
        ticket.succeed(tuple(self._verdict(question, *answers[question]) for question in questions))

    def _verdict(self, question: str, p_yes: float, p_no: float) -> Verdict:
        return Verdict(question=question, p_yes=p_yes, p_no=p_no, labeler_version=self.version)


def _item_id(item: Questions) -> str:
    return item.id
