"""Answer -> atomic claims by English grammar, without a language model."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from threading import Lock

from rlaifv.adapters.grammar.clauses import read
from rlaifv.adapters.grammar.discourse import Discourse
from rlaifv.adapters.grammar.language import looks_english
from rlaifv.adapters.grammar.markup import Passage, passages
from rlaifv.adapters.grammar.parsing import Parser
from rlaifv.adapters.grammar.propositions import Reading, nothing
from rlaifv.adapters.grammar.sentences import sentences
from rlaifv.core.claims import Claim
from rlaifv.core.decomposition import Decomposition, SkippedText, SkipReason

_REMEMBERED_READINGS = 20_000


@dataclass(frozen=True, slots=True)
class _Sentence:
    """A stretch of a passage; `text` is what the grammar reads."""

    passage: Passage
    start: int
    end: int

    @property
    def text(self) -> str:
        written = self.passage.text[self.start : self.end]
        shouted = written.isupper() and " " in written
        return "".join(c.lower() if len(c.lower()) == 1 else c for c in written) if shouted else written


class GrammarDecomposer:
    """Divides English answers into atomic claims, each with its yes/no question and its place in the answer.

    Deterministic; safe to call from several threads, which then take turns. Loading takes a few seconds and
    raises Unavailable if spaCy or its model is not installed. Readings of sentences are remembered, so sentences that
    many answers share cost nothing.
    """

    def __init__(self, *, remembered: int = _REMEMBERED_READINGS) -> None:
        """`remembered`: how many distinct sentences to keep the readings of."""
        self._parser = Parser()
        self._lock = Lock()
        self._readings: OrderedDict[str, Reading] = OrderedDict()
        self._remembered = max(1, remembered)

    @property
    def version(self) -> str:
        """Grammar, spaCy and model: equal versions give equal claims."""
        return f"grammar/1+{self._parser.version}"

    def decompose(self, answer: str) -> Decomposition:
        """All claims of one answer. Never raises for any text, and never cuts one short."""
        return self.decompose_many([answer])[0]

    def decompose_many(self, answers: Sequence[str]) -> list[Decomposition]:
        """`decompose` of each answer, in order, with the parsing of all their sentences batched."""
        divided = [_sentences(answer) for answer in answers]
        with self._lock:
            readings = self._read({s.text: None for sentences_ in divided for s in sentences_})
        return [_decomposition(sentences_, readings) for sentences_ in divided]

    def _read(self, texts: Iterable[str]) -> dict[str, Reading]:
        """The reading of each text, from memory where possible."""
        readings: dict[str, Reading] = {}
        unread: list[str] = []
        for text in texts:
            remembered = self._readings.get(text)
            if remembered is not None:
                self._readings.move_to_end(text)
                readings[text] = remembered
                continue
            reason = self._unreadable(text)
            if reason is None:
                unread.append(text)
            else:
                readings[text] = nothing(reason)
        for parse in self._parser.parse(unread):
            readings[parse.text] = self._readings[parse.text] = read(parse)
        while len(self._readings) > self._remembered:
            self._readings.popitem(last=False)
        return readings

    def _unreadable(self, text: str) -> SkipReason | None:
        if not any(c.isalpha() for c in text):
            return SkipReason.NO_CONTENT
        if text.rstrip("\"') ").endswith("?"):
            return SkipReason.QUESTION
        return None if looks_english(text, self._parser.knows) else SkipReason.NOT_ENGLISH


def _sentences(answer: str) -> list[_Sentence]:
    return [_Sentence(p, start, end) for p in passages(answer) for start, end in sentences(p.text)]


def _decomposition(parts: Sequence[_Sentence], readings: dict[str, Reading]) -> Decomposition:
    discourse = Discourse()
    claims: dict[str, Claim] = {}
    skipped: list[SkippedText] = []
    duplicates = 0
    passage: Passage | None = None
    for part in parts:
        if part.passage is not passage:
            passage = part.passage
            discourse.start_passage()
        reading = readings[part.text]
        worded = discourse.word(reading)
        if not reading.propositions or not worded:
            start, end = part.passage.origin(part.start, part.end)
            skipped.append(SkippedText(start=start, end=end, reason=reading.reason))
        for proposition, text, question in worded:
            if text in claims:
                duplicates += 1
                continue
            start, end = part.passage.origin(part.start + proposition.start, part.start + proposition.end)
            claims[text] = Claim(text=text, type=proposition.type, question=question, start=start, end=end)
    ordered = sorted(claims.values(), key=lambda c: (c.start, c.end))
    return Decomposition(claims=tuple(ordered), skipped=tuple(skipped), duplicates=duplicates)
