"""Visible writing: which thing bears which words."""

from __future__ import annotations

from rlaifv.adapters.grammar.disguise import Role
from rlaifv.adapters.grammar.draft import Draft
from rlaifv.adapters.grammar.lexicon import nouns, words
from rlaifv.adapters.grammar.parsing import Parse, Word
from rlaifv.adapters.grammar.phrases import read_noun
from rlaifv.adapters.grammar.propositions import Form
from rlaifv.adapters.grammar.stance import stance
from rlaifv.core.claims import ClaimType

_QUOTATIONS = (Role.WRITING, Role.SAYING, Role.LETTERING)
_LABELLED = words("label mark name title inscribe print emblazon write display state read say show")


def read_writing(draft: Draft) -> None:
    """State for every quotation what it is written on, where the sentence tells."""
    for word in draft.parse.words:
        if word.role not in _QUOTATIONS:
            continue
        bearer = _bearer(draft.parse, word)
        reference = read_noun(draft, bearer) if bearer is not None and not stance_above(draft.parse, word) else None
        if bearer is not None and reference is not None:
            words = (draft.first(bearer), bearer, word)
            draft.state(ClaimType.TEXT, Form.DO, reference, words, verb="say", rest=(f"'{word.text}'",))


def stance_above(parse: Parse, word: Word) -> bool:
    """Whether any clause around the word is a guess or an opinion."""
    while word.head != word.index:
        word = parse.head(word)
        if word.pos in ("VERB", "AUX") and stance(parse, word) is not None:
            return True
    return False


def _bearer(parse: Parse, writing: Word) -> Word | None:
    if writing.role is Role.LETTERING:
        return _carrier(parse, writing)
    above = parse.head(writing)
    if writing.role is Role.SAYING or above is writing:
        return _sayer(parse, writing) or _only_noun_before(parse, writing)
    if writing.dep in ("compound", "amod", "nmod", "appos") and above.pos in ("NOUN", "PROPN"):
        return above
    return _subject_of(parse, above, writing) if above.pos in ("VERB", "AUX") else None


def _sayer(parse: Parse, saying: Word) -> Word | None:
    """The sign of "the sign says X" and of "a sign that reads X"."""
    subject = parse.child(saying, "nsubj", "nsubjpass")
    if subject is not None and subject.tag not in ("WDT", "WP") and subject.lower not in ("that", "which"):
        return (_carrier(parse, subject) if subject.lower in nouns.WRITABLE else None) or subject
    above = parse.head(saying)
    if above.pos in ("NOUN", "PROPN") and saying.dep in ("acl", "relcl", "amod"):
        return above
    return parse.child(above, "nsubj", "dobj") if above.pos in ("VERB", "AUX") and above is not saying else None


def _subject_of(parse: Parse, verb: Word, writing: Word) -> Word | None:
    """The bottle of "a bottle labeled X"; the wall of "X is written on the wall"."""
    if writing.dep in ("nsubj", "nsubjpass"):
        return _on(parse, verb)
    if verb.lemma not in _LABELLED:
        return None
    return _sayer(parse, verb)


def _carrier(parse: Parse, text: Word) -> Word | None:
    """What "the words" are on: "... on the wall", or the thing they are "with"."""
    above = parse.head(text)
    own = _on(parse, text) or (_on(parse, above) if text.dep in ("nsubj", "nsubjpass") else None)
    if own is not None and own.pos in ("NOUN", "PROPN"):
        return own
    if text.dep == "pobj" and above.lower in ("with", "bearing"):
        owner = parse.head(above)
        return owner if owner.pos in ("NOUN", "PROPN") else parse.child(owner, "dobj", "attr", "nsubj", "nsubjpass")
    if text.dep == "dobj":
        return _sayer(parse, above)
    return None


def _on(parse: Parse, word: Word) -> Word | None:
    for prep in parse.children(word, "prep"):
        if prep.lower in ("on", "above", "across", "in"):
            return parse.child(prep, "pobj")
    return None


def _only_noun_before(parse: Parse, writing: Word) -> Word | None:
    before = [w for w in parse.words[: writing.index] if w.pos == "NOUN" and w.lower not in nouns.WRITABLE]
    return before[-1] if before else None
