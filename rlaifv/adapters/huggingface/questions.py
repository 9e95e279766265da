"""Yes or no to questions about pictures: each picture read once, all its distinct questions branching from it.

The branches of several pictures share forward passes (branches.py): a pass is full even where a picture has few questions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
import torch

from rlaifv.adapters.huggingface.branches import Branch, BranchPass
from rlaifv.adapters.huggingface.decoder import Decoder
from rlaifv.adapters.huggingface.loading import LoadedModel
from rlaifv.adapters.huggingface.prefix import Prefix
from rlaifv.adapters.huggingface.reading import ImageReader, SeenImage
from rlaifv.core.errors import BackendFailed, InvalidInput, RlaifvError
from rlaifv.core.images import Image
from rlaifv.core.verdicts import question_prompt

log = structlog.get_logger(__name__)

_PASS_TOKENS = {"cpu": 2048, "cuda": 16384}
"""Tokens of a forward pass: enough to fill the machine, few enough that activations stay in a CPU's cache."""

Answers = dict[str, tuple[float, float]]
"""(p_yes, p_no) by question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A picture and what is asked about it."""

    image: Image
    questions: tuple[str, ...]


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


@dataclass(slots=True)
class _Picture:
    """A picture whose questions are being answered; `open` of them are not yet. After a failure nobody waits for the others."""

    number: int
    prefix: Prefix
    open: int
    answers: Answers = field(default_factory=dict)
    failed: bool = False


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A question that waits for the next pass."""

    picture: _Picture
    question: str
    ids: tuple[int, ...]


class QuestionBranches:
    """Next-token probabilities of yes and no for questions about pictures. Call inside torch.inference_mode()."""

    def __init__(self, loaded: LoadedModel, decoder: Decoder, reader: ImageReader, branch_bytes: int) -> None:
        """`branch_bytes` bounds the keys and values of the questions in one pass."""
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

    def ask(self, pictures: Iterable[Asked]) -> Iterator[tuple[int, Answers | RlaifvError]]:
        """The number of each picture with its answers, as they are complete; softmax over the whole vocabulary in fp32.

        The next picture is taken only when the questions at hand do not fill a pass. What is wrong with a picture or its
        questions comes in place of its answers: InvalidInput for an empty or too long question, errors as `ImageReader.see`,
        and BackendFailed where the model fails on it alone.
        """
        waiting: list[_Waiting] = []
        for number, asked in enumerate(pictures):
            try:
                mine = self._read(number, asked)
            except Exception as exc:  # noqa: BLE001 - foreign code of the model; the picture gets the error
                yield number, _error(exc)
                continue
            if not mine:
                yield number, {}
            waiting += mine
            while waiting and (full := self._first_pass(waiting)) < len(waiting):
                yield from self._answer(waiting[:full])
                waiting = [one for one in waiting[full:] if not one.picture.failed]
        while waiting:
            full = self._first_pass(waiting)
            yield from self._answer(waiting[:full])
            waiting = [one for one in waiting[full:] if not one.picture.failed]

    def _read(self, number: int, asked: Asked) -> list[_Waiting]:
        if not asked.questions:
            return []
        seen = self._reader.see(asked.image)
        prefix_ids, branches = self._split(seen, asked.questions)
        prefix = self._reader.read(prefix_ids, seen)
        self.forward_passes += 1
        picture = _Picture(number=number, prefix=prefix, open=len(branches))
        return [_Waiting(picture, question, ids) for question, ids in branches]

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

    def _first_pass(self, waiting: Sequence[_Waiting]) -> int:
        """How many of the questions go into the next pass; at least one."""
        device = self._decoder.device.type
        prefix = waiting[0].picture.prefix
        room = min(
            _PASS_TOKENS.get(device, _PASS_TOKENS["cuda"]), self._branch_bytes // max(1, prefix.bytes // prefix.tokens)
        )
        tokens = 0
        for count, one in enumerate(waiting):
            tokens += len(one.ids)
            if tokens > room:
                return max(1, count)
        return len(waiting)

    def _answer(self, asked: Sequence[_Waiting]) -> Iterator[tuple[int, Answers | RlaifvError]]:
        """Run one pass; gives the pictures whose last question was in it. Where it fails, each picture by itself."""
        pictures = list({id(one.picture): one.picture for one in asked}.values())
        try:
            self._run(pictures, asked)
        except Exception as exc:  # noqa: BLE001 - as above
            if len(pictures) == 1:
                pictures[0].failed = True
                yield pictures[0].number, _error(exc)
                return
            for picture in pictures:
                yield from self._answer([one for one in asked if one.picture is picture])
            return
        for picture in pictures:
            if picture.open == 0:
                yield picture.number, picture.answers

    def _run(self, pictures: Sequence[_Picture], asked: Sequence[_Waiting]) -> None:
        places = {id(picture): place for place, picture in enumerate(pictures)}
        branches = [Branch(prefix=places[id(one.picture)], ids=one.ids) for one in asked]
        work = BranchPass([picture.prefix for picture in pictures], branches)
        logits = self._decoder.logits(self._decoder.run(work), self._verdict_tokens)
        self.forward_passes += 1
        self.rows = len(asked)
        logprobs = logits.log_softmax(-1)
        yes, no = (logprobs[:, ids].logsumexp(-1).exp().tolist() for ids in (self._yes, self._no))
        for at, p_yes, p_no in zip(work.order, yes, no, strict=True):
            asked[at].picture.answers[asked[at].question] = (p_yes, p_no)
            asked[at].picture.open -= 1


def _error(exc: Exception) -> RlaifvError:
    if isinstance(exc, RlaifvError):
        return exc
    log.error("questions_failed", exc_info=exc)
    return BackendFailed(f"the model failed to answer ({type(exc).__name__})")
