"""Verb phrases: "is riding a horse", put together for the present tense whatever tense was written."""

from __future__ import annotations

from dataclasses import dataclass

from rlaifv.adapters.grammar.disguise import Role
from rlaifv.adapters.grammar.draft import Draft, Subject
from rlaifv.adapters.grammar.inflection import ing
from rlaifv.adapters.grammar.lexicon import nouns, verbs
from rlaifv.adapters.grammar.parsing import Word
from rlaifv.adapters.grammar.phrases import read_nouns
from rlaifv.adapters.grammar.places import Part, Place, places, worded_parts


@dataclass(frozen=True, slots=True)
class VerbPhrase:
    """`parts` follow "is" unless `stative`, then they follow the base form of the verb; `places` are still to be stated."""

    parts: tuple[Part, ...]
    last: Word
    stative: bool
    objects: tuple[Subject, ...]
    places: tuple[Place, ...]


def read_verb_phrase(draft: Draft, verb: Word, *, passive: bool) -> VerbPhrase:
    """The verb with its particle and object, or with its first place if it has no object."""
    stative = not passive and verb.lemma in verbs.STATIVE
    head: Part = verb.lower if passive else verb.lemma if stative else _progressive(verb)
    if passive and any(w.lower == "being" for w in draft.parse.children(verb, "auxpass")):
        head = f"being {head}"
    parts: list[Part] = [head] if not stative else []
    last = verb
    for particle in draft.parse.children(verb, "prt"):
        parts.append(particle.lower)
        last = max(last, particle, key=lambda w: w.index)
    objects = tuple(
        o for target in draft.parse.children(verb, "dobj", "attr", "oprd") for o in read_nouns(draft, target)
    )
    if objects:
        parts += _coordinated(draft, objects)
        last = objects[-1].word
    elif not passive or not stative:
        last = _complement(draft, verb, parts, last)
    found = tuple(p for prep in _prepositions(draft, verb) for p in places(draft, prep))
    if not objects and len(parts) == 1 and last is verb:
        found, last = _absorb_place(parts, found, last)
    return VerbPhrase(tuple(parts), last, stative, objects, found)


def _progressive(verb: Word) -> str:
    return verb.lower if verb.tag == "VBG" else ing(verb.lemma)


def _coordinated(draft: Draft, objects: tuple[Subject, ...]) -> list[Part]:
    parts: list[Part] = list(worded_parts(draft, objects[0]))
    for subject in objects[1:]:
        parts += ["and", *worded_parts(draft, subject)]
    return parts


def _prepositions(draft: Draft, verb: Word) -> tuple[Word, ...]:
    return tuple(
        w
        for w in draft.parse.children(verb)
        if w.dep == "prep" or (w.role is Role.PREPOSITION and w.dep in ("advmod", "prep", "prt", "mark"))
    )


def _absorb_place(parts: list[Part], found: tuple[Place, ...], last: Word) -> tuple[tuple[Place, ...], Word]:
    """ "is sitting on a bench" is one fact; "is standing" and "is on the left" are two."""
    first = next((p for p in found if not p.region and p.prep.index > last.index), None)
    if first is None:
        return found, last
    parts += first.worded
    return tuple(p for p in found if p is not first), first.last


def _complement(draft: Draft, verb: Word, parts: list[Part], last: Word) -> Word:
    """Phrases that complete the verb: "looking at the camera", "waiting for a bus", "trying to catch a ball"."""
    for prep in _prepositions(draft, verb):
        if (
            prep.lower in ("with", "for", "to", "of", "about", "as", "like", "by")
            and prep.role is Role.PLAIN
            and prep.index > verb.index
        ):
            target = draft.parse.child(prep, "pobj")
            if prep.lower in ("like", "as", "by", "about") or target is None:
                continue
            found = read_nouns(draft, target)
            if found and len(parts) < 3:
                parts += [prep.lower, *_coordinated(draft, found)]
                last = found[-1].word
                break
    for agent in draft.parse.children(verb, "agent"):
        for target in draft.parse.children(agent, "pobj"):
            found = read_nouns(draft, target)
            if found:
                parts += ["by", *_coordinated(draft, found)]
                last = found[-1].word
    for below in draft.parse.children(verb, "xcomp"):
        if any(w.lower == "to" for w in draft.parse.children(below, "aux")) and verb.lemma in verbs.ATTEMPTS:
            inner = read_verb_phrase(draft, below, passive=False)
            base: tuple[Part, ...] = (below.lemma, *(inner.parts if inner.stative else inner.parts[1:]))
            parts += ["to", *base]
            last = inner.last
    return last


def is_place_verb(verb: Word) -> bool:
    """Postures that, of a thing, only say where it is."""
    return verb.lemma in (
        "sit",
        "stand",
        "lie",
        "rest",
        "lay",
        "sprawl",
        "appear",
        "sat",
        "be",
        "exist",
        "occupy",
        "remain",
        "stay",
    )


def writes(verb: Word) -> bool:
    """Verbs whose object can be writing."""
    return verb.lemma in verbs.WRITING or verb.lemma in nouns.WRITABLE
