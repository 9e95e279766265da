"""Clauses: who does what, what is like what, and what the answer merely says it sees."""

from __future__ import annotations

from rlaifv.adapters.grammar.disguise import Role
from rlaifv.adapters.grammar.draft import Draft, Pending, Subject
from rlaifv.adapters.grammar.lexicon import nouns, verbs
from rlaifv.adapters.grammar.parsing import Parse, Word
from rlaifv.adapters.grammar.phrases import read_nouns
from rlaifv.adapters.grammar.places import places, read_pending_places, relate
from rlaifv.adapters.grammar.predicates import read_predicate, read_predicated
from rlaifv.adapters.grammar.presentation import (
    is_presentation,
    present_objects,
    read_at_clause_level,
    read_presentation,
)
from rlaifv.adapters.grammar.propositions import Form, Reading
from rlaifv.adapters.grammar.stance import is_animate, is_conditional, is_negated, stance
from rlaifv.adapters.grammar.verb_phrases import read_verb_phrase
from rlaifv.adapters.grammar.writing import read_writing
from rlaifv.core.claims import ClaimType
from rlaifv.core.decomposition import SkipReason

_SUBJECTS = ("nsubj", "nsubjpass", "csubj")
_RELATIVES = ("that", "which", "who", "whom")
_NESTED = ("ccomp", "conj", "parataxis", "advcl", "xcomp", "dep")


def read(parse: Parse) -> Reading:
    """What the sentence says. Never fails: what is not understood yields nothing."""
    draft = Draft(parse)
    read_writing(draft)
    for root in parse.roots():
        _read_root(draft, root)
        _drain(draft)
    return draft.reading()


def _drain(draft: Draft) -> None:
    while draft.clauses or draft.places:
        read_pending_places(draft)
        if draft.clauses:
            pending = draft.clauses.popleft()
            _modifying_clause(draft, pending)


def _read_root(draft: Draft, root: Word) -> None:
    if _is_predicate(draft.parse, root):
        read_clause(draft, root, ())
        return
    subjects = read_nouns(draft, root) if root.pos in ("NOUN", "PROPN") else ()
    draft.promote(subjects)
    for below in draft.parse.children(root):
        if below.dep in _NESTED and _is_predicate(draft.parse, below):
            read_clause(draft, below, ())
        elif below.dep in ("nsubj", "npadvmod", "dep", "appos", "pobj", "dobj", "ROOT") and below.pos in (
            "NOUN",
            "PROPN",
        ):
            read_nouns(draft, below)
        elif below.dep == "prep" and below.index < root.index:
            relate(draft, places(draft, below), subjects)
    if root.pos == "ADP" or root.dep == "prep":
        places(draft, root)


def _is_predicate(parse: Parse, word: Word) -> bool:
    return (word.pos in ("VERB", "AUX") and word.role is Role.PLAIN) or any(
        True for _ in parse.children(word, "nsubj", "nsubjpass", "expl")
    )


def _modifying_clause(draft: Draft, pending: Pending) -> None:
    """A participle or relative clause under a noun; without a subject it describes the picture."""
    verb = pending.word
    if any(w.dep == "aux" and w.lower == "to" for w in draft.parse.children(verb)):
        return
    if verb.dep == "amod":
        for subject in pending.subjects:
            read_predicated(draft, verb, (subject,))
        return
    if not pending.subjects:
        _picture_clause(draft, verb)
        return
    own = draft.parse.child(verb, *_SUBJECTS)
    if own is None or own.lower in ("that", "which", "who"):
        read_clause(draft, verb, pending.subjects)
    elif stance(draft.parse, verb) is None and own.lower not in nouns.VIEWER:
        _object_relative(draft, verb, own, pending.subjects)


def _picture_clause(draft: Draft, verb: Word) -> None:
    """ "a photo showing two dogs", "a scene in which a man is running"."""
    subject = draft.parse.child(verb, *_SUBJECTS)
    if subject is not None and subject.lower not in ("that", "which"):
        read_clause(draft, verb, ())
    elif stance(draft.parse, verb) is None or verb.lemma in verbs.SHOWING:
        present_objects(draft, verb)


def _object_relative(draft: Draft, verb: Word, own: Word, things: tuple[Subject, ...]) -> None:
    """ "the ball that the boy is holding": the boy is holding the ball."""
    targets = draft.parse.children(verb, "dobj")
    if verb.lemma == "be" or any(w.lower not in _RELATIVES for w in targets) or _is_adverbial(draft.parse, verb):
        read_clause(draft, verb, ())
        return
    phrase = read_verb_phrase(draft, verb).phrases[0]
    for actor in read_nouns(draft, own):
        for thing in things:
            words = (*thing.words, actor.first, verb)
            if phrase.stative:
                draft.state(
                    ClaimType.RELATION, Form.DO, actor.reference, words, verb=verb.lemma, rest=(thing.reference,)
                )
            else:
                rest = (phrase.parts[0], thing.reference)
                draft.state(ClaimType.ACTION, Form.BE, actor.reference, words, rest=rest)


def _is_adverbial(parse: Parse, verb: Word) -> bool:
    """ "a kitchen where a chef is cooking"."""
    return any(w.lower in ("where", "when") for w in parse.children(verb, "advmod"))


def read_clause(draft: Draft, verb: Word, inherited: tuple[Subject, ...]) -> None:
    """One clause and those under it; `inherited` are its subjects if it has none of its own."""
    parse = draft.parse
    if is_conditional(parse, verb) and verb.dep == "advcl":
        return
    view = stance(parse, verb)
    if parse.child(verb, "expl") is not None or _is_inverted(parse, verb):
        subjects = _existential(draft, verb, view)
    elif is_presentation(parse, verb):
        subjects = read_presentation(draft, verb, view)
    else:
        subjects = _subjects(draft, verb, view) or inherited
        if view is None:
            read_predicate(draft, verb, subjects)
        else:
            if not any(w.lower in nouns.VIEWER for w in parse.children(verb, "nsubj")):
                draft.noticed.append(view)
            _doubted(draft, verb, view, subjects)
    if verb.dep == "ROOT":
        draft.promote(subjects)
    _nested(draft, verb, subjects, view)


def _is_inverted(parse: Parse, verb: Word) -> bool:
    """ "On the table are four plates"."""
    if verb.lemma != "be" or parse.child(verb, *_SUBJECTS) is not None or verb.dep != "ROOT":
        return False
    return any(w.pos == "NOUN" and w.index > verb.index for w in parse.children(verb, "attr"))


def _nested(draft: Draft, verb: Word, subjects: tuple[Subject, ...], view: SkipReason | None) -> None:
    for below in draft.parse.children(verb):
        if below.dep == "conj" and below.pos == "NOUN" and view is None:
            read_nouns(draft, below)
        for gerund in draft.parse.children(below, "conj") if below.dep == "dobj" else ():
            if gerund.tag == "VBG" and view is None:
                read_clause(draft, gerund, subjects)
        for absolute in draft.parse.children(below, "pcomp") if below.lower == "with" else ():
            read_clause(draft, absolute, ())
        if below.dep not in _NESTED or not _is_predicate(draft.parse, below) or below.role is not Role.PLAIN:
            continue
        own = draft.parse.child(below, *_SUBJECTS, "expl") is not None
        infinitive = any(w.dep == "aux" and w.lower == "to" for w in draft.parse.children(below))
        doubted = view is SkipReason.HEDGE and (below.dep in ("ccomp", "xcomp") or not own)
        likened = any(w.lower in ("like", "as", "that") for w in draft.parse.children(below, "mark"))
        doubted |= view is SkipReason.HEDGE and likened
        doubted |= view is SkipReason.OPINION and below.dep in ("ccomp", "xcomp")
        if not infinitive and not doubted:
            read_clause(draft, below, () if own else subjects)


def _subjects(draft: Draft, verb: Word, view: SkipReason | None) -> tuple[Subject, ...]:
    """Subjects of the clause. In a doubted clause only new things are taken to exist ("A man seems to be happy")."""
    found: list[Subject] = []
    words = draft.parse.children(verb, *_SUBJECTS)
    if not words and verb.dep == "ROOT" and verb.lemma in verbs.POSTURES | {"hang"}:
        words = draft.parse.children(verb, "dobj", "attr")
    for word in words:
        if word.tag in ("WDT", "WP") or word.role is Role.WRITING or draft.parse.child(word, "case") is not None:
            continue
        determiner = draft.parse.child(word, "det")
        new = (determiner is not None and determiner.lower in ("a", "an")) or draft.parse.child(
            word, "nummod"
        ) is not None
        if view is None or new:
            found += read_nouns(draft, word)
    return tuple(found)


def _existential(draft: Draft, verb: Word, view: SkipReason | None) -> tuple[Subject, ...]:
    if view is not None:
        draft.noticed.append(view)
        return ()
    negated = is_negated(draft.parse, verb)
    found: list[Subject] = []
    for word in draft.parse.children(verb, "attr", "dobj", "nsubj", "nsubjpass", "acomp", "oprd"):
        if word.dep != "acomp" or word.pos in ("NOUN", "PROPN"):
            found += read_nouns(draft, word, negated=negated)
    read_at_clause_level(draft, verb, tuple(found))
    return tuple(found)


def _doubted(draft: Draft, verb: Word, view: SkipReason, subjects: tuple[Subject, ...]) -> None:
    """An opinion about what somebody does with things does not deny the things."""
    actors = draft.parse.children(verb, "nsubj") or tuple(s.word for s in subjects)
    if view is SkipReason.OPINION and any(is_animate(a.lower) for a in actors):
        for word in draft.parse.children(verb, "dobj"):
            read_nouns(draft, word)
