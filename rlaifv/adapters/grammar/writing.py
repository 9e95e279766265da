"""Visible writing: which thing bears which words."""

from __future__ import annotations

from rlaifv.adapters.grammar.disguise import Role
from rlaifv.adapters.grammar.draft import Draft
from rlaifv.adapters.grammar.lexicon import nouns, verbs, words
from rlaifv.adapters.grammar.parsing import Parse, Word
from rlaifv.adapters.grammar.phrases import read_noun
from rlaifv.adapters.grammar.propositions import Form
from rlaifv.adapters.grammar.stance import stance
from rlaifv.core.claims import ClaimType

_LABELLED = words("label mark name title inscribe print emblazon write display state read say show")


def read_writing(draft: Draft) -> None:
    """State for every quotation what it is written on, where the sentence tells."""
    for word in draft.parse.words:
        if word.role is not Role.WRITING:
            continue
        bearer = _bearer(draft.parse, word)
        above = draft.parse.head(word)
        if above.lower in nouns.WRITABLE and above is not bearer:
            draft.seen[above.index] = None
        if bearer is None or stance_above(draft.parse, word):
            continue
        reference = read_noun(draft, bearer)
        if reference is None:
            continue
        words = (draft.first(bearer), word)
        draft.state(ClaimType.TEXT, Form.DO, reference, words, verb="say", rest=(f"'{word.text}'",))


def stance_above(parse: Parse, word: Word) -> bool:
    """Whether any clause around the word is a guess or an opinion."""
    while word.head != word.index:
        word = parse.head(word)
        if word.pos in ("VERB", "AUX") and stance(parse, word) is not None:
            return True
    return False


def _bearer(parse: Parse, writing: Word) -> Word | None:
    current = writing
    for _ in range(4):
        above = parse.head(current)
        if above is current:
            return _only_noun_before(parse, writing)
        if above.pos in ("NOUN", "PROPN") and above.lower in nouns.WRITABLE:
            return _carrier(parse, above) or _place_of_writing(parse, above) or above
        if current.dep in ("compound", "amod", "nmod") and above.pos in ("NOUN", "PROPN"):
            return above
        if above.pos in ("VERB", "AUX"):
            return _subject_of(parse, above, writing)
        current = above
    return None


def _subject_of(parse: Parse, verb: Word, writing: Word) -> Word | None:
    """The sign of "the sign says X" and "a sign that reads X"; the wall of "X is written on the wall"."""
    if verb.lemma not in verbs.WRITING | _LABELLED | {"be"} and verb.lower not in ("reads", "says"):
        return None
    if writing.dep in ("nsubj", "nsubjpass"):
        return _on(parse, verb)
    subject = parse.child(verb, "nsubj", "nsubjpass")
    if subject is not None and subject.tag not in ("WDT", "WP") and subject.lower != "that":
        carrier = _carrier(parse, subject) if subject.lower in nouns.WRITABLE else None
        return carrier or subject
    above = parse.head(verb)
    if verb.dep in ("acl", "relcl") and above.pos in ("NOUN", "PROPN"):
        carrier = _carrier(parse, above) if above.lower in nouns.WRITABLE else None
        return carrier or above
    return None


def _place_of_writing(parse: Parse, text: Word) -> Word | None:
    """The wall of "The words 'X' are written on the wall"."""
    return _on(parse, parse.head(text)) if text.dep in ("nsubj", "nsubjpass") else None


def _carrier(parse: Parse, text: Word) -> Word | None:
    """What "the words" are on: "... on the wall", or the thing they are "with"."""
    own = _on(parse, text)
    if own is not None and own.pos in ("NOUN", "PROPN"):
        return own
    above = parse.head(text)
    if text.dep == "pobj" and above.lower == "with":
        owner = parse.head(above)
        if owner.pos in ("NOUN", "PROPN"):
            return owner
        return parse.child(owner, "dobj", "attr", "nsubj")
    if text.dep in ("dobj",) and above.lemma in ("have", "bear", "display"):
        return parse.child(above, "nsubj")
    return None


def _on(parse: Parse, word: Word) -> Word | None:
    for prep in parse.children(word, "prep"):
        if prep.lower in ("on", "above", "across", "in"):
            return parse.child(prep, "pobj")
    return None


def _only_noun_before(parse: Parse, writing: Word) -> Word | None:
    before = [w for w in parse.words[: writing.index] if w.pos == "NOUN" and w.lower not in nouns.WRITABLE]
    return before[-1] if before else None
