"""What a clause says of its subjects: what they are like, have, do, and where they are."""

from __future__ import annotations

from collections.abc import Callable

from rlaifv.adapters.grammar.disguise import Role
from rlaifv.adapters.grammar.draft import Draft, Pending, Subject
from rlaifv.adapters.grammar.inflection import article, looks_plural
from rlaifv.adapters.grammar.lexicon import nouns, verbs
from rlaifv.adapters.grammar.parsing import Parse, Word
from rlaifv.adapters.grammar.phrases import read_nouns
from rlaifv.adapters.grammar.places import (
    Part,
    Place,
    coordinated,
    places,
    read_phrase,
    relate,
    stands_alone,
    worded_parts,
)
from rlaifv.adapters.grammar.properties import property_text
from rlaifv.adapters.grammar.propositions import Form, Pronoun
from rlaifv.adapters.grammar.stance import is_animate, is_negated
from rlaifv.adapters.grammar.verb_phrases import VerbPhrase, VerbPhrases, base_form, is_place_verb, read_verb_phrase
from rlaifv.core.claims import ClaimType


def read_predicate(draft: Draft, verb: Word, subjects: tuple[Subject, ...]) -> None:
    """State what the clause of `verb` says of `subjects`."""
    if verb.role is Role.SAYING or any(
        w.role is Role.LETTERING for w in draft.parse.children(verb, "dobj", "nsubjpass")
    ):
        return
    handler = _kind(draft.parse, verb)
    handler(draft, verb, subjects)


def _kind(parse: Parse, verb: Word) -> Callable[[Draft, Word, tuple[Subject, ...]], None]:
    passive = parse.child(verb, "auxpass") is not None or (verb.tag == "VBN" and parse.child(verb, "aux") is None)
    if verb.lemma == "be" or (verb.pos not in ("VERB", "AUX") and parse.child(verb, "dobj") is None):
        return _copula
    if verb.lemma == "have" and not passive:
        return _having
    if passive:
        return _placing if verb.lemma in verbs.PLACING else _passive
    return _action


def _copula(draft: Draft, verb: Word, subjects: tuple[Subject, ...]) -> None:
    negated = is_negated(draft.parse, verb)
    for word in draft.parse.children(verb, "acomp", "oprd"):
        for adjective in draft.parse.conjuncts(word):
            read_predicated(draft, adjective, subjects, negated)
    for word in draft.parse.children(verb, "attr"):
        if word.role is Role.COLOUR or word.pos == "ADJ":
            read_predicated(draft, word, subjects, negated)
        else:
            _predicate_noun(draft, word, subjects, negated)
    for word in draft.parse.children(verb, "advmod"):
        if stands_alone(word):
            for subject in subjects:
                draft.state(
                    ClaimType.RELATION,
                    Form.BE,
                    subject.reference,
                    (*subject.words, word),
                    rest=(word.lower,),
                    negated=negated,
                )
    _located(draft, verb, subjects, negated)


def read_predicated(draft: Draft, adjective: Word, subjects: tuple[Subject, ...], negated: bool = False) -> None:
    """ "is red", "is full of water", "is visible in the distance"."""
    text = property_text(draft, adjective)
    prepositions = draft.parse.children(adjective, "prep")
    completed = _completed(draft, prepositions) if text and adjective.role is Role.PLAIN else None
    for subject in subjects:
        if completed is not None:
            joint, parts, last = completed
            kind = ClaimType.ATTRIBUTE if joint == "of" else ClaimType.RELATION
            span = (*subject.words, adjective, last)
            draft.state(kind, Form.BE, subject.reference, span, rest=(text, joint, *parts), negated=negated)
            continue
        if text:
            near = (*subject.words, adjective)
            draft.state(ClaimType.ATTRIBUTE, Form.BE, subject.reference, near, rest=(text,), negated=negated)
        if not negated:
            for prep in prepositions:
                read_phrase(draft, Pending(prep, (subject,)))


def _completed(draft: Draft, prepositions: tuple[Word, ...]) -> tuple[str, tuple[Part, ...], Word] | None:
    """ "full of water", "cluttered with papers": preposition, things and last word."""
    for prep in prepositions:
        if prep.lower not in ("of", "with"):
            continue
        found = tuple(s for target in draft.parse.children(prep, "pobj") for s in read_nouns(draft, target))
        if found:
            return prep.lower, coordinated(draft, found), found[-1].word
    return None


def _predicate_noun(draft: Draft, word: Word, subjects: tuple[Subject, ...], negated: bool) -> None:
    """ "The animal is a dog": the dog exists, and the animal is one. "The man is a joy to watch" is neither."""
    if word.lower in nouns.POSITIONS or negated:
        return
    for kind in read_nouns(draft, word):
        for subject in subjects:
            if isinstance(kind.reference, int):
                rest = worded_parts(draft, kind)
                words = (*subject.words, kind.word)
                draft.state(ClaimType.ATTRIBUTE, Form.BE, subject.reference, words, rest=rest)


def _located(draft: Draft, verb: Word, subjects: tuple[Subject, ...], negated: bool) -> None:
    for prep in draft.parse.children(verb):
        if prep.dep != "prep" and not (prep.role is Role.PREPOSITION and prep.dep != "punct"):
            continue
        if not negated:
            read_phrase(draft, Pending(prep, subjects))
            continue
        for place in places(draft, prep):
            for subject in subjects:
                words = (*subject.words, verb, place.last)
                draft.state(ClaimType.RELATION, Form.BE, subject.reference, words, rest=place.parts, negated=True)


def _having(draft: Draft, verb: Word, subjects: tuple[Subject, ...]) -> None:
    negated = is_negated(draft.parse, verb)
    for target in draft.parse.children(verb, "dobj"):
        lacked = negated or any(w.lower == "no" for w in draft.parse.children(target, "det"))
        for had in (draft.subject(0, target),) if lacked else read_nouns(draft, target):
            for subject in subjects:
                rest = (_bare(target),) if lacked else worded_parts(draft, had)
                words = (*subject.words, verb, had.word)
                draft.state(
                    ClaimType.RELATION, Form.DO, subject.reference, words, verb="have", rest=rest, negated=lacked
                )
    for prep in draft.parse.children(verb, "prep"):
        if prep.index < verb.index or not draft.parse.children(verb, "dobj"):
            read_phrase(draft, Pending(prep, subjects))
        else:
            places(draft, prep)


def _bare(noun: Word) -> str:
    word = noun.lower
    return word if looks_plural(word) or word in nouns.MASS else f"{article(word)} {word}"


def _placing(draft: Draft, verb: Word, subjects: tuple[Subject, ...]) -> None:
    """ "is located on", "can be seen in": only where it is, and what else is said of it."""
    negated = is_negated(draft.parse, verb)
    _located(draft, verb, subjects, negated)
    for below in draft.parse.children(verb, "oprd", "acomp"):
        for prep in draft.parse.children(below, "prep"):
            read_phrase(draft, Pending(prep, subjects))


def _passive(draft: Draft, verb: Word, subjects: tuple[Subject, ...]) -> None:
    """ "is parked on the street", "is made of wood", "is held by a woman"."""
    if any(w.role is Role.WRITING for w in draft.parse.children(verb)):
        return
    negated = is_negated(draft.parse, verb)
    said = read_verb_phrase(draft, verb, passive=True)
    for subject in subjects:
        for phrase in said.phrases:
            kind = _passive_kind(draft.parse, verb, phrase)
            words = (*subject.words, verb, phrase.last)
            draft.state(kind, Form.BE, subject.reference, words, rest=phrase.parts, negated=negated)
        if not negated:
            relate(draft, said.places, (subject,))


def _passive_kind(parse: Parse, verb: Word, phrase: VerbPhrase) -> ClaimType:
    """Done by somebody: an action. A state by itself or of a material: an attribute. Otherwise where or with what."""
    agents = [t for agent in parse.children(verb, "agent") for t in parse.children(agent, "pobj")]
    if str(phrase.parts[0]).startswith("being ") or any(is_animate(a.lower) for a in agents):
        return ClaimType.ACTION
    if (
        phrase.last is verb
        or phrase.last.dep == "prt"
        or parse.child(verb, "oprd", "acomp") is not None
        or "of" in phrase.parts
    ):
        return ClaimType.ATTRIBUTE
    return ClaimType.RELATION


def _action(draft: Draft, verb: Word, subjects: tuple[Subject, ...]) -> None:
    negated = is_negated(draft.parse, verb)
    mark = len(draft.propositions)
    alive = any(_is_alive(draft, s) for s in subjects)
    said = read_verb_phrase(draft, verb, simple=not alive and verb.tag in ("VBZ", "VBP", "NNS"))
    if negated:
        draft.keep_known(mark)
    for subject in subjects:
        if is_place_verb(verb) and not negated and not _is_alive(draft, subject):
            relate(draft, tuple(p for w in draft.parse.children(verb, "prep") for p in places(draft, w)), (subject,))
            continue
        for phrase in said.phrases:
            _act(draft, verb, subject, phrase, negated)
        if not negated:
            relate(draft, _own_places(verb, said), (subject,))


def _act(draft: Draft, verb: Word, subject: Subject, phrase: VerbPhrase, negated: bool) -> None:
    words = (*subject.words, verb, phrase.last)
    if not phrase.has_object and verb.lemma in verbs.NEED_AN_OBJECT:
        return
    if not phrase.stative:
        draft.state(ClaimType.ACTION, Form.BE, subject.reference, words, rest=phrase.parts, negated=negated)
    elif phrase.has_object:
        base = base_form(verb)
        draft.state(
            ClaimType.RELATION, Form.DO, subject.reference, words, verb=base, rest=phrase.parts, negated=negated
        )


def _own_places(verb: Word, said: VerbPhrases) -> tuple[Place, ...]:
    """The places of the verb that are the subject's, too."""
    first = said.phrases[0]
    if not first.has_object:
        return tuple(p for p in said.places if not p.is_direction or first.stative)
    placed = verb.lemma in verbs.PLACED_OBJECT
    return tuple(p for p in said.places if p.region or p.prep.index < verb.index or (not placed and p.is_of_subject))


def _is_alive(draft: Draft, subject: Subject) -> bool:
    """Whether it acts of its own accord: a person, an animal, "a group of people", "they"."""
    if isinstance(subject.reference, Pronoun):
        return True
    return is_animate(draft.mentions[subject.reference].noun.split()[-1])
