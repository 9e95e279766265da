"""Prepositional phrases: where something is and what it has."""

from __future__ import annotations

from dataclasses import dataclass

from rlaifv.adapters.grammar.disguise import Role
from rlaifv.adapters.grammar.draft import Draft, Pending, Subject
from rlaifv.adapters.grammar.inflection import article
from rlaifv.adapters.grammar.lexicon import nouns, words
from rlaifv.adapters.grammar.names import is_idiom
from rlaifv.adapters.grammar.parsing import Word
from rlaifv.adapters.grammar.phrases import read_nouns
from rlaifv.adapters.grammar.propositions import Form, Reference
from rlaifv.core.claims import ClaimType

Part = str | Reference

_LOCATIVE = words("""
    on in at near beside behind under above below between among amongst around by inside outside against along
    across over beneath underneath atop alongside through toward towards into onto off beyond past down up amid
    amidst opposite within throughout upon from
""")
_MOTIONS = words("across through toward towards into onto off past down up along from away around over out")
"""Of somebody who does something to something else, these say where it goes rather than where it is."""
_NAMES_THINGS = words("of from to including like for as with without")
_STANDS_ALONE = words("outside inside outdoors indoors underwater upside overhead")


@dataclass(frozen=True, slots=True)
class Place:
    """ "on the mat": `parts` with the noun definite, `worded` with the article as written, both to follow a verb."""

    prep: Word
    last: Word
    parts: tuple[Part, ...]
    worded: tuple[Part, ...]
    region: bool
    """Whether it is a place in the picture ("on the left")."""

    @property
    def is_direction(self) -> bool:
        """ "across the lawn": a way rather than a place."""
        return self.prep.lower in _MOTIONS

    @property
    def is_of_subject(self) -> bool:
        """Whether it says where the subject is even after an object: "riding a horse on the beach", not "... on the plate"."""
        if self.is_direction:
            return False
        if self.region or self.prep.lower not in ("in", "on", "at", "inside"):
            return True
        settings = nouns.GROUNDS if self.prep.lower == "on" else nouns.SETTINGS
        return nouns.singular(self.last.lower.split()[-1]) in settings


def read_pending_places(draft: Draft) -> None:
    """Relations of noun phrases to the phrases under them."""
    while draft.places:
        pending = draft.places.popleft()
        read_phrase(draft, pending)


def read_phrase(draft: Draft, pending: Pending) -> None:
    """One prepositional phrase about `pending.subjects`."""
    prep = pending.word
    if prep.lower in ("with", "without"):
        _possession(draft, prep, pending.subjects)
    elif prep.lower in _NAMES_THINGS or _is_list(draft, prep):
        for target in draft.parse.children(prep, "pobj"):
            if prep.lower not in ("for", "as") and not (prep.lower == "of" and target.index in draft.seen):
                read_nouns(draft, target)
    else:
        relate(draft, places(draft, prep), pending.subjects)


def relate(draft: Draft, found: tuple[Place, ...], subjects: tuple[Subject, ...]) -> None:
    """State that each subject is at each place."""
    for subject in subjects:
        for place in found:
            words = (*subject.words, place.prep, place.last)
            if place.prep.lower == "in" and nouns.singular(place.last.lower.split()[-1]) in nouns.CLOTHING:
                draft.state(ClaimType.ACTION, Form.BE, subject.reference, words, rest=("wearing", *place.worded[1:]))
            else:
                draft.state(ClaimType.RELATION, Form.BE, subject.reference, words, rest=place.parts)


def places(draft: Draft, prep: Word) -> tuple[Place, ...]:
    """The places that a preposition names, one per coordinated noun; none for times, manners and the picture itself."""
    if prep.role is not Role.PREPOSITION and prep.lower not in _LOCATIVE:
        return ()
    inner = draft.parse.child(prep, "prep")
    target = draft.parse.child(prep, "pobj")
    if target is not None and is_idiom(draft.parse, target) and target.lower not in nouns.PICTURE | nouns.ABSTRACT:
        idiom: tuple[Part, ...] = (prep.lower, target.lower)
        return (Place(prep, target, idiom, idiom, False),)
    if target is None:
        return _joined(prep, places(draft, inner)) if inner is not None else ()
    if target.role is Role.PLACE:
        region: tuple[Part, ...] = (prep.lower, target.text)
        return (Place(prep, target, region, region, True),)
    found = read_nouns(draft, target)
    if prep.lower in ("between", "in between", "among") and len(found) > 1:
        parts = _listed([f.reference for f in found])
        return (Place(prep, found[-1].word, (prep.lower, *parts), (prep.lower, *parts), False),)
    return tuple(
        Place(prep, f.word, (prep.lower, f.reference), (prep.lower, *worded_parts(draft, f)), False) for f in found
    )


def _joined(prep: Word, inner: tuple[Place, ...]) -> tuple[Place, ...]:
    """ "up in the tree", "from behind the fence"."""
    if prep.lower == "from":
        return inner
    return tuple(Place(prep, p.last, (prep.lower, *p.parts), (prep.lower, *p.worded), p.region) for p in inner)


def _listed(references: list[Reference]) -> tuple[Part, ...]:
    parts: list[Part] = [references[0]]
    for reference in references[1:]:
        parts += ["and", reference]
    return tuple(parts)


def worded_parts(draft: Draft, subject: Subject) -> tuple[Part, ...]:
    """The noun with the article it was written with, without its properties and number: "a horse", "horses"."""
    reference = subject.reference
    if not isinstance(reference, int):
        return (reference,)
    mention = draft.mentions[reference]
    determiner = draft.parse.child(subject.word, "det")
    known = mention.possessor is not None or (determiner is not None and determiner.lower in ("the", "this", "that"))
    if known or mention.fixed or mention.proper:
        return (reference,)
    if mention.plural or mention.mass:
        return (mention.noun,)
    return (f"{article(mention.noun)} {mention.noun}",)


def coordinated(draft: Draft, subjects: tuple[Subject, ...]) -> tuple[Part, ...]:
    """ "tomatoes and onions", each as `worded_parts`."""
    parts: list[Part] = list(worded_parts(draft, subjects[0]))
    for subject in subjects[1:]:
        parts += ["and", *worded_parts(draft, subject)]
    return tuple(parts)


def _possession(draft: Draft, prep: Word, subjects: tuple[Subject, ...]) -> None:
    lacking = prep.lower == "without"
    for target in draft.parse.children(prep, "pobj"):
        if lacking:
            _lack(draft, prep, target, subjects)
            continue
        if target.lower in nouns.BODY_PARTS and draft.parse.child(target, "poss") is not None:
            continue
        for had in read_nouns(draft, target):
            for subject in subjects:
                words = (*subject.words, prep, had.word)
                rest = worded_parts(draft, had)
                draft.state(ClaimType.RELATION, Form.DO, subject.reference, words, verb="have", rest=rest)


def _lack(draft: Draft, prep: Word, target: Word, subjects: tuple[Subject, ...]) -> None:
    if target.pos not in ("NOUN", "PROPN"):
        return
    noun = target.lower
    plain = noun if noun.endswith("s") or noun in nouns.MASS else f"{article(noun)} {noun}"
    for subject in subjects:
        words = (*subject.words, prep, target)
        draft.state(ClaimType.RELATION, Form.DO, subject.reference, words, verb="have", rest=(plain,), negated=True)


def _is_list(draft: Draft, prep: Word) -> bool:
    """ "such as apples"."""
    return prep.lower == "as" and any(w.lower == "such" for w in draft.parse.children(prep))


def stands_alone(word: Word) -> bool:
    """Adverbs that are a place by themselves: "outdoors"."""
    return word.lower in _STANDS_ALONE
