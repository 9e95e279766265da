"""The labeler on transformers: yes or no to questions about a picture (RLAIF-V, sec. 3.2, "conquer").

The picture is read once; its questions branch from it as rows of one batch, each distinct question once. A row is padded by its
own length only and never sees another, so a verdict does not depend on what else is asked (attention.py says how exactly).
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import structlog
import torch
from torch import Tensor

from rlaifv.adapters.huggingface.attention import ROW_MULTIPLE, padded
from rlaifv.adapters.huggingface.decoder import Decoder, Prefix, RowCache
from rlaifv.adapters.huggingface.inbox import Inbox, Ticket, outcomes
from rlaifv.adapters.huggingface.loading import LoadedModel, load_model
from rlaifv.adapters.huggingface.reading import ImageReader, SeenImage
from rlaifv.adapters.huggingface.vision import FeatureCache
from rlaifv.adapters.images import ImageSources
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.errors import BackendFailed, InvalidInput, RlaifvError, Unavailable
from rlaifv.core.outcomes import Outcome
from rlaifv.core.training import Precision
from rlaifv.core.verdicts import Verdict, question_prompt
from rlaifv.ports.services import Questions

log = structlog.get_logger(__name__)

Verdicts = tuple[Verdict, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelerOptions:
    """How a labeler runs. `branch_bytes` bounds the keys and values of questions in one forward pass; `threads` as for
    PolicyOptions."""

    precision: Precision = Precision.FP32
    device: str = "cpu"
    threads: int | None = None
    max_waiting: int = 4096
    feature_cache_bytes: int = 256 * 1024 * 1024
    branch_bytes: int = 256 * 1024 * 1024
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


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerTokens:
    """Ids of all single tokens that spell yes or no in any case, with or without white space around (" yes", "Yes", "▁NO")."""

    yes: tuple[int, ...]
    no: tuple[int, ...]

    @classmethod
    def of(cls, tokenizer: Any) -> AnswerTokens:
        """Read them off the vocabulary. Raises InvalidInput where one of the two words is no single token."""
        special = set(tokenizer.all_special_ids)
        ids = [token for token in sorted(tokenizer.get_vocab().values()) if token not in special]
        words = [tokenizer.decode([token]).strip().lower() for token in _plausible(tokenizer, ids)]
        spelled = list(zip(_plausible(tokenizer, ids), words, strict=True))
        found = cls(
            yes=tuple(token for token, word in spelled if word == "yes"),
            no=tuple(token for token, word in spelled if word == "no"),
        )
        if not found.yes or not found.no:
            raise InvalidInput("model: its tokenizer has no single token for yes or for no, so it cannot be a labeler")
        return found


def _plausible(tokenizer: Any, ids: list[int]) -> list[int]:
    """Tokens short enough for the words, so that a vocabulary of 150,000 is not decoded one by one."""
    tokens = tokenizer.convert_ids_to_tokens(ids)
    return [token for token, text in zip(ids, tokens, strict=True) if text and len(text) <= 8 and text[-1] in "sSoO \n"]


class QuestionBranches:
    """Next-token probabilities of yes and no for questions about one picture. Call inside torch.inference_mode()."""

    def __init__(self, loaded: LoadedModel, decoder: Decoder, reader: ImageReader, branch_bytes: int) -> None:
        self._loaded = loaded
        self._decoder = decoder
        self._reader = reader
        self._branch_bytes = branch_bytes
        tokens = AnswerTokens.of(loaded.chat.tokenizer)
        self._yes = torch.tensor(tokens.yes, device=decoder.device)
        self._no = torch.tensor(tokens.no, device=decoder.device)
        self._verdict_tokens = torch.cat([self._yes, self._no])
        self.forward_passes = 0
        self.rows = 0

    def ask(self, seen: SeenImage, questions: Sequence[str]) -> dict[str, tuple[float, float]]:
        """(p_yes, p_no) by question, softmax over the whole vocabulary in fp32.

        Raises InvalidInput for an empty or too long question.
        """
        prefix_ids, branches = self._split(seen, questions)
        if not branches:
            return {}
        prefix = self._reader.read(prefix_ids, seen)
        self.forward_passes += 1
        found: dict[str, tuple[float, float]] = {}
        for group in self._groups(prefix, branches):
            logits = self._next_logits(prefix, [ids for _, ids in group])
            logprobs = logits.log_softmax(-1)
            yes, no = (logprobs[:, ids].logsumexp(-1).exp().tolist() for ids in (self._yes, self._no))
            found |= {question: (p, q) for (question, _), p, q in zip(group, yes, no, strict=True)}
        return found

    def _split(
        self, seen: SeenImage, questions: Sequence[str]
    ) -> tuple[tuple[int, ...], list[tuple[str, tuple[int, ...]]]]:
        """The ids up to the end of the picture, the same for all questions, and each distinct question's ids after it."""
        chat = self._loaded.chat
        cut = seen.prepared.at + len(seen.prepared.placeholders)
        prefix: tuple[int, ...] = ()
        branches = []
        for question in dict.fromkeys(questions):
            rendered = chat.render(question_prompt(chat.require(question, "question")), "question")
            ids = chat.prompt_ids(rendered, seen.prepared)
            if len(ids) >= self._decoder.context_tokens:
                raise InvalidInput.field(
                    "question",
                    question,
                    f"has {len(ids)} tokens with its image, the limit is {self._decoder.context_tokens}",
                )
            prefix = ids[:cut]
            branches.append((question, ids[cut:]))
        return prefix, branches

    def _groups(
        self, prefix: Prefix, branches: list[tuple[str, tuple[int, ...]]]
    ) -> Iterator[list[tuple[str, tuple[int, ...]]]]:
        """Questions of one padded length, as many as the memory bound allows."""

        def width(branch: tuple[str, tuple[int, ...]]) -> int:
            return padded(len(branch[1]), ROW_MULTIPLE)

        token_bytes = sum(t.numel() * t.element_size() for t in (*prefix.keys, *prefix.values)) / prefix.tokens
        for tokens, same in groupby(sorted(branches, key=width), key=width):
            group = list(same)
            rows = max(1, int(self._branch_bytes / (token_bytes * (prefix.tokens + tokens))))
            for start in range(0, len(group), rows):
                yield group[start : start + rows]

    def _next_logits(self, prefix: Prefix, branches: list[tuple[int, ...]]) -> Tensor:
        device = self._decoder.device
        width = padded(len(branches[0]), ROW_MULTIPLE)
        ids = torch.zeros((len(branches), width), dtype=torch.long, device=device)
        for row, branch in enumerate(branches):
            ids[row, : len(branch)] = torch.tensor(branch, device=device)
        cache = RowCache(prefix, len(branches), prefix.tokens + width)
        cache.fill(prefix, torch.arange(len(branches), device=device))
        steps = torch.arange(width, device=device).expand(len(branches), width)
        hidden = self._decoder.extend(cache, ids, prefix.tokens + steps, prefix.next_position + steps)
        self.forward_passes += 1
        self.rows = len(branches)
        last = torch.tensor([len(branch) - 1 for branch in branches], device=device)
        return self._decoder.logits(hidden[cache.cursor.row_index, last], self._verdict_tokens)


class HuggingFaceLabeler:
    """ports.Labeler on transformers, with a thread of its own. Make it with `open`."""

    def __init__(self, loaded: LoadedModel, options: LabelerOptions = LabelerOptions()) -> None:
        """Raises InvalidInput if the model has no single token for yes or for no."""
        self.version = loaded.digest
        self._threads = options.threads
        self._inbox: Inbox[Questions, Verdicts] = Inbox(options.max_waiting)
        self._items = self._questions = self._asked = 0
        decoder = Decoder(loaded.model)
        features: FeatureCache[SeenImage] = FeatureCache(options.feature_cache_bytes)
        self._reader = ImageReader(loaded, decoder, features, options.sources)
        self._branches = QuestionBranches(loaded, decoder, self._reader, options.branch_bytes)
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
            asked=self._asked,
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

    def _answer(self, ticket: Ticket[Questions, Verdicts]) -> None:
        item = ticket.item
        try:
            answers = self._branches.ask(self._reader.see(item.image), item.questions) if item.questions else {}
        except RlaifvError as error:
            ticket.fail(error)
        except Exception as exc:
            log.exception("questions_failed", item_id=item.id)
            ticket.fail(BackendFailed(f"item {item.id!r}: the model failed to answer ({type(exc).__name__})"))
        else:
            self._items += 1
            self._questions += len(item.questions)
            self._asked += len(answers)
            ticket.succeed(tuple(self._verdict(question, *answers[question]) for question in item.questions))

    def _verdict(self, question: str, p_yes: float, p_no: float) -> Verdict:
        return Verdict(question=question, p_yes=p_yes, p_no=p_no, labeler_version=self.version)


def _item_id(item: Questions) -> str:
    return item.id
