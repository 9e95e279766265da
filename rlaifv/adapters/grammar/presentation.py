"""Sentences that only say what can be seen: "The picture shows a dog", "I can see two cats", "It is a poodle"."""

from __future__ import annotations

from rlaifv.adapters.grammar.disguise import Role
from rlaifv.adapters.grammar.draft import Draft, Pending, Subject
from rlaifv.adapters.grammar.inflection import article
from rlaifv.adapters.grammar.lexicon import nouns, verbs
from rlaifv.adapters.grammar.parsing import Parse, Word
from rlaifv.adapters.grammar.phrases import read_nouns
from rlaifv.adapters.grammar.places import read_phrase
from rlaifv.adapters.grammar.propositions import Form, Pronoun
from rlaifv.adapters.grammar.stance import is_negated
from rlaifv.core.claims import ClaimType
from rlaifv.core.decomposition import SkipReason

_SUBJECTS = ("nsubj", "nsubjpass", "csubj")


def is_presentation(parse: Parse, verb: Word) -> bool:
    """Whether the clause only says that something is in the picture: "The picture shows", "I can see", "This is"."""
    subject = parse.child(verb, *_SUBJECTS)
    if subject is None:
        return verb.dep == "ROOT" and verb.tag == "VBG" and verb.lemma in verbs.SHOWING and verb.lemma != "have"
    if subject.lower in nouns.PICTURE and verb.lemma == "take":
        return parse.child(verb, "dobj") is not None
    about_picture = subject.lower in nouns.PICTURE and subject.dep != "nsubjpass"
    if about_picture or (subject.lower in ("this", "here") and verb.lemma in verbs.SHOWING | {"be"}):
        return verb.lemma in verbs.SHOWING | {"be", "focus", "take", "center"}
    if subject.lower in nouns.VIEWER - {"they"} and verb.lemma in verbs.SEEING:
        return True
    return subject.lower in ("it", "that") and verb.lemma == "be" and parse.child(verb, "attr") is not None


def read_presentation(draft: Draft, verb: Word, view: SkipReason | None) -> tuple[Subject, ...]:
    hedged = view is SkipReason.HEDGE
    if hedged or (is_negated(draft.parse, verb) and draft.parse.child(verb, "dobj", "attr") is None):
        draft.noticed.append(SkipReason.HEDGE)
        return ()
    subject = draft.parse.child(verb, *_SUBJECTS)
    found = present_objects(draft, verb)
    if subject is not None and subject.lower in ("it", "that"):
        _identity(draft, verb, subject, found)
    return found


def _identity(draft: Draft, verb: Word, subject: Word, found: tuple[Subject, ...]) -> None:
    """ "It is a poodle" says something of what "it" stands for, if it stands for anything."""
    for kind in found:
        if isinstance(kind.reference, int):
            rest = (_a(draft, kind.reference),)
            pronoun = Pronoun(subject.lower, subject.start)
            draft.state(ClaimType.ATTRIBUTE, Form.BE, pronoun, (subject, verb, kind.word), rest=rest)


def _a(draft: Draft, number: int) -> str:
    mention = draft.mentions[number]
    return mention.noun if mention.plural or mention.mass else f"{article(mention.noun)} {mention.noun}"


def present_objects(draft: Draft, verb: Word) -> tuple[Subject, ...]:
    negated = is_negated(draft.parse, verb)
    found: list[Subject] = []
    for word in draft.parse.children(verb, "dobj", "attr", "oprd"):
        found += read_nouns(draft, word, negated=negated)
    for prep in draft.parse.children(verb, "prep"):
        if prep.lower in ("of", "on", "at") and not found:
            for target in draft.parse.children(prep, "pobj"):
                if target.role is not Role.PLACE:
                    found += read_nouns(draft, target)
    read_at_clause_level(draft, verb, tuple(found))
    return tuple(found)


def read_at_clause_level(draft: Draft, verb: Word, subjects: tuple[Subject, ...]) -> None:
    """Phrases under the verb that are about what it presents."""
    for prep in draft.parse.children(verb, "prep"):
        read_phrase(draft, Pending(prep, subjects))
