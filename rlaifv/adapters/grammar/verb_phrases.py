"""Verb phrases: "is riding a horse", put together for the present tense whatever tense was written."""

from __future__ import annotations

from dataclasses import dataclass

from rlaifv.adapters.grammar.disguise import Role
from rlaifv.adapters.grammar.draft import Draft
from rlaifv.adapters.grammar.inflection import ing
from rlaifv.adapters.grammar.lexicon import nouns, verbs
from rlaifv.adapters.grammar.names import name, with_article
from rlaifv.adapters.grammar.parsing import Word
from rlaifv.adapters.grammar.phrases import read_nouns
from rlaifv.adapters.grammar.places import Part, Place, coordinated, places, worded_parts
from rlaifv.adapters.grammar.stance import is_animate


@dataclass(frozen=True, slots=True)
class VerbPhrase:
    """A verb with one of its objects, since "wearing a hat and gloves" is two facts.

    `parts` follow "is" unless `stative`, then they follow the base form of the verb.
    """

    parts: tuple[Part, ...]
    last: Word
    stative: bool
    has_object: bool


@dataclass(frozen=True, slots=True)
class VerbPhrases:
    """All that a verb says, one phrase per object, and the places that are facts of their own."""

    phrases: tuple[VerbPhrase, ...]
    places: tuple[Place, ...]


def read_verb_phrase(draft: Draft, verb: Word, *, passive: bool = False, simple: bool = False) -> VerbPhrases:
    """The verb with its particle and object, or with its first place if it has no object.

    `simple` keeps the simple present: "the bridge crosses a stream".
    """
    targets = [t for t in draft.parse.children(verb, "dobj", "attr", "oprd") if not _is_inverted_subject(verb, t)]
    targets += [s for c in draft.parse.children(verb, "ccomp") for s in _described_objects(draft, c)]
    stative = not passive and verb.tag != "VBG" and (verb.lemma in verbs.STATIVE or (simple and bool(targets)))
    parts: list[Part] = [] if stative else [_head(draft, verb, passive)]
    particles = draft.parse.children(verb, "prt")
    parts += [p.lower for p in particles]
    last = max([verb, *particles], key=lambda w: w.index)
    objects = [o for target in targets for o in _objects(draft, target)]
    if objects:
        _read_instruments(draft, verb)
        parts += [
            p
            for w in draft.parse.children(verb, "dative")
            for o in read_nouns(draft, w)
            for p in worded_parts(draft, o)
        ]
        phrases = tuple(VerbPhrase((*parts, *o), word, stative, True) for o, word in objects)
        return VerbPhrases(phrases, _places(draft, verb))
    completed = next((w for w in (read(draft, verb, parts) for read in _COMPLETIONS) if w is not None), None)
    found = _places(draft, verb)
    if completed is None and stative:
        completed = last
    elif completed is None:
        found, completed = _absorb_place(parts, found, last)
    return VerbPhrases((VerbPhrase(tuple(parts), completed, stative, False),), found)


def _objects(draft: Draft, target: Word) -> list[tuple[tuple[Part, ...], Word]]:
    """Each object in words; deeds ("a trick", "a game of chess", "pictures") are named but are no things."""
    found = read_nouns(draft, target)
    if found:
        return [(worded_parts(draft, o), o.word) for o in found]
    if target.pos != "NOUN" or target.role is not Role.PLAIN or target.dep != "dobj" or target.lower not in nouns.DEEDS:
        return []
    inner = next(
        (w for p in draft.parse.children(target, "prep") if p.lower == "of" for w in draft.parse.children(p)), None
    )
    text = with_article(draft.parse, target)
    return [((f"{text} of {with_article(draft.parse, inner)}" if inner else text,), inner or target)]


def _described_objects(draft: Draft, clause: Word) -> tuple[Word, ...]:
    """The television of "faces a television mounted on the wall", which the parser takes for a clause."""
    bare = clause.tag in ("VBN", "VBG") and draft.parse.child(clause, "aux", "auxpass", "mark") is None
    return draft.parse.children(clause, "nsubj", "nsubjpass") if bare else ()


def _is_inverted_subject(verb: Word, target: Word) -> bool:
    """ "Behind the counter stands a barista": no posture has an object."""
    return is_place_verb(verb) and target.index > verb.index


def _head(draft: Draft, verb: Word, passive: bool) -> str:
    if not passive:
        return verb.lower if verb.tag == "VBG" else ing(base_form(verb))
    ongoing = any(w.lower == "being" for w in draft.parse.children(verb, "auxpass"))
    return f"being {verb.lower}" if ongoing else verb.lower


def base_form(verb: Word) -> str:
    """The infinitive, also where the tagger took the verb for a noun."""
    if verb.lemma == verb.lower and verb.tag == "NNS":
        return nouns.singular(verb.lower)
    return verb.lemma


def _prepositions(draft: Draft, verb: Word) -> tuple[Word, ...]:
    return tuple(
        w
        for w in draft.parse.children(verb)
        if w.dep == "prep" or (w.role is Role.PREPOSITION and w.dep in ("advmod", "prt", "mark"))
    )


def _places(draft: Draft, verb: Word) -> tuple[Place, ...]:
    return tuple(p for prep in _prepositions(draft, verb) for p in places(draft, prep))


def _absorb_place(parts: list[Part], found: tuple[Place, ...], last: Word) -> tuple[tuple[Place, ...], Word]:
    """ "is sitting on a bench" is one fact; "is standing" and "is on the left" are two."""
    first = next((p for p in found if not p.region and (p.prep.index > last.index or is_place_verb(last))), None)
    if first is None:
        return found, last
    parts += first.worded
    aimed = first.prep.lower in ("at", "to", "for", "toward", "towards") and not is_place_verb(last)
    return tuple(p for p in found if p is not first and (p.region or not aimed)), first.last


def _read_instruments(draft: Draft, verb: Word) -> None:
    """ "with a knife", "to the ducks": things, though no claim of their own."""
    for prep in _prepositions(draft, verb):
        for target in draft.parse.children(prep, "pobj"):
            if prep.lower in ("with", "to", "of", "by") or (prep.lower == "for" and is_animate(target.lower)):
                read_nouns(draft, target)


def _complement(draft: Draft, verb: Word, parts: list[Part]) -> Word | None:
    """What completes a verb without object: "playing with a ball", "waiting for a bus"; its last word."""
    for prep in _prepositions(draft, verb):
        target = draft.parse.child(prep, "pobj")
        if prep.lower in ("with", "for", "to", "of") and prep.index > verb.index and target is not None:
            if verb.lower == "made":
                parts += [prep.lower, name(draft.parse, target)]
                return target
            found = read_nouns(draft, target)
            if found:
                parts += [prep.lower, *coordinated(draft, found)]
                return found[-1].word
    return None


def _result(draft: Draft, verb: Word, parts: list[Part]) -> Word | None:
    """ "is painted yellow"."""
    for below in draft.parse.children(verb, "oprd", "acomp"):
        if below.pos == "ADJ" and below.index > verb.index:
            parts.append(below.text)
            return below
    return None


def _agent(draft: Draft, verb: Word, parts: list[Part]) -> Word | None:
    for agent in draft.parse.children(verb, "agent"):
        for target in draft.parse.children(agent, "pobj"):
            found = read_nouns(draft, target)
            if found:
                parts += ["by", *coordinated(draft, found)]
                return found[-1].word
    return None


def _attempt(draft: Draft, verb: Word, parts: list[Part]) -> Word | None:
    """ "trying to catch a ball"."""
    for below in draft.parse.children(verb, "xcomp"):
        infinitive = any(w.lower == "to" for w in draft.parse.children(below, "aux"))
        if infinitive and verb.lemma in verbs.ATTEMPTS:
            inner = read_verb_phrase(draft, below).phrases[0]
            parts += ["to", below.lemma, *(inner.parts if inner.stative else inner.parts[1:])]
            return inner.last
    return None


_COMPLETIONS = (_result, _complement, _agent, _attempt)


def is_place_verb(verb: Word) -> bool:
    """Postures that, of a thing, only say where it is."""
    return verb.lemma in verbs.POSTURES
