"""Noun phrases: what exists, how many, and of what kind."""

from __future__ import annotations

from collections.abc import Iterator

from rlaifv.adapters.grammar.disguise import Role
from rlaifv.adapters.grammar.draft import Draft, Pending, Subject
from rlaifv.adapters.grammar.inflection import looks_plural
from rlaifv.adapters.grammar.lexicon import modifiers, nouns, words
from rlaifv.adapters.grammar.names import determiner, is_mass, is_nominal, is_plural, is_proper, name, with_article
from rlaifv.adapters.grammar.parsing import Parse, Word
from rlaifv.adapters.grammar.properties import read_properties
from rlaifv.adapters.grammar.propositions import Form, Mention, Pronoun, Reference
from rlaifv.adapters.grammar.stance import is_abstract, is_denied_noun, is_hedged_noun
from rlaifv.core.claims import ClaimType
from rlaifv.core.decomposition import SkipReason

PRONOUNS = words("it they he she them him her this these that those both its their his himself herself itself")
_TRANSPARENT = words("""
    lot lots number variety couple dozen dozens hundreds thousands plenty few kind type sort mix mixture selection
    assortment array range series rest majority presence view close-up closeup glimpse collection-of scattering
    abundance multitude
""")
_NO_THINGS = (Role.WRITING, Role.SAYING, Role.LETTERING, Role.PLACE)
_QUANTITIES = words("couple dozens hundreds thousands")
_PARTITIVES = words("one some most all both many several each two three four five half none another")


def read_nouns(draft: Draft, head: Word, *, negated: bool = False) -> tuple[Subject, ...]:
    """The noun phrase of `head` and those coordinated with it; what cannot be pointed at is left out."""
    negated = negated or is_denied_noun(draft.parse, head)
    if not negated and is_hedged_noun(draft.parse, head):
        draft.noticed.append(SkipReason.HEDGE)
        return ()
    found = []
    for word in _coordinated(draft.parse, head):
        reference = read_noun(draft, word, negated=negated)
        if reference is not None:
            found.append(draft.subject(reference, word))
    return tuple(found)


def _coordinated(parse: Parse, head: Word) -> tuple[Word, ...]:
    """Conjuncts, and what the parser takes for an apposition in "a fork, a knife and a spoon"."""
    found = list(parse.conjuncts(head))
    for word in found:
        found += [
            w for w in parse.children(word, "nmod", "compound") if parse.child(w, "cc") and w.pos in ("NOUN", "PROPN")
        ]
        found += [w for w in _listed_with_contents(parse, word) if w not in found]
        for apposed in parse.children(word, "appos"):
            if apposed.pos in ("NOUN", "PROPN") and any(w.dep in ("conj", "appos") for w in parse.children(apposed)):
                found += [w for w in parse.conjuncts(apposed) if w not in found]
    return tuple(sorted(found, key=lambda w: w.index))


def _listed_with_contents(parse: Parse, word: Word) -> list[Word]:
    """The croissant of "a cup of coffee, a croissant": it is not in the cup."""
    inner = _inner(parse, word) if nouns.singular(word.lower) in nouns.CONTAINERS_OF else None
    return [w for w in _coordinated(parse, inner)[1:] if _stands_apart(parse, w)] if inner is not None else []


def _stands_apart(parse: Parse, word: Word) -> bool:
    return parse.child(word, "det", "nummod") is not None or _inner(parse, word) is not None


def read_noun(draft: Draft, head: Word, *, negated: bool = False) -> Reference | None:
    """The mention or pronoun of one noun phrase, read at most once; None if nothing in it can be pointed at."""
    if head.index not in draft.seen:
        draft.seen[head.index] = None
        draft.seen[head.index] = _read(draft, head, negated)
    return draft.seen[head.index]


def _read(draft: Draft, head: Word, negated: bool) -> Reference | None:
    inner = _inner(draft.parse, head)
    if inner is not None and head.lower in _PARTITIVES:
        return _partitive(draft, head, inner)
    if inner is not None and head.lower in _TRANSPARENT:
        return _transparent(draft, head, inner)
    if head.pos in ("PRON", "DET") or head.lower in PRONOUNS:
        return Pronoun(head.lower, head.start) if head.lower in PRONOUNS else None
    if head.role in _NO_THINGS or not is_nominal(draft.parse, head):
        return None
    if head.lower in nouns.PICTURE or is_abstract(head.lower) or _is_deed(draft.parse, head):
        _descend(draft, head)
        return None
    if negated or any(w.lower == "no" for w in draft.parse.children(head, "det")):
        _absent(draft, head)
        return None
    return _present(draft, head, inner)


def _is_deed(parse: Parse, head: Word) -> bool:
    """ "playing tennis", "doing yoga": bare, these are no things."""
    return (
        head.dep == "dobj" and head.lower in nouns.DEEDS and parse.child(head, "det", "nummod", "amod", "poss") is None
    )


def _inner(parse: Parse, head: Word) -> Word | None:
    """The X of "a slice of X"."""
    for prep in parse.children(head, "prep"):
        if prep.lower == "of":
            return parse.child(prep, "pobj")
    return None


def _partitive(draft: Draft, head: Word, inner: Word) -> Reference | None:
    """ "one of the dogs" is a subject of its own, beside the dogs."""
    group = read_noun(draft, inner)
    if not isinstance(group, int):
        return group if head.lower in ("all", "both", "each") else None
    noun = draft.mentions[group].noun
    plural = head.lower not in ("one", "each", "another", "none")
    if head.lower == "none":
        return None
    number = draft.mention(
        Mention(noun, draft.mentions[group].head, plural=plural, fixed=f"{head.lower} of the {noun}", at=head.start)
    )
    _schedule(draft, head, number)
    return number


def _transparent(draft: Draft, head: Word, inner: Word) -> Reference | None:
    reference = read_noun(draft, inner)
    if isinstance(reference, int) and head.lower in _QUANTITIES:
        quantity = f"a {head.lower} of" if not looks_plural(head.lower) else f"{head.lower} of"
        draft.state(ClaimType.COUNT, Form.EXISTS, reference, (head, inner), rest=(quantity,))
    if reference is not None:
        _schedule(draft, head, reference, subject=inner)
    return reference


def _descend(draft: Draft, head: Word) -> None:
    """Under "a picture of ..." or "a moment in which ..." there may be things."""
    found: tuple[Subject, ...] = ()
    for below in draft.parse.children(head):
        if below.dep in ("acl", "relcl"):
            draft.clauses.append(Pending(below, ()))
        elif below.dep == "prep" and below.lower in ("of", "with", "including"):
            for target in draft.parse.children(below, "pobj"):
                found += read_nouns(draft, target)
        elif below.dep == "prep" and found:
            draft.places.append(Pending(below, found))
    if any(w.lower in modifiers.OPINIONS for w in draft.parse.children(head, "amod")):
        draft.noticed.append(SkipReason.OPINION)


def _absent(draft: Draft, head: Word) -> None:
    """ "no red car on the left" is denied as a whole: without its properties the denial would say more."""
    skipped = {w.index for w in draft.parse.children(head, "det", "preconj")}
    for prep in draft.parse.children(head, "prep"):
        target = draft.parse.child(prep, "pobj")
        if target is not None and target.lower in nouns.PICTURE:
            skipped |= {w.index for w in draft.parse.below(prep)}
    words = sorted(
        (w for w in draft.parse.below(head) if w is head or w.dep not in ("conj", "cc", "punct", "appos")),
        key=lambda w: w.index,
    )
    conjuncts = {w.index for c in draft.parse.children(head, "conj", "appos") for w in draft.parse.below(c)}
    kept = [
        w
        for w in words
        if w.index not in skipped and w.index not in conjuncts and w.lower not in ("visible", "other", "any")
    ]
    noun = " ".join(w.lower if w.index == 0 else w.text for w in kept)
    number = draft.mention(Mention(noun, head.lower, plural=is_plural(draft.parse, head), absent=True, at=head.start))
    determiners = draft.parse.children(head, "det")
    draft.state(ClaimType.OBJECT, Form.EXISTS, number, (*determiners, head, *kept), negated=True)


def _present(draft: Draft, head: Word, inner: Word | None) -> int:
    noun = name(draft.parse, head)
    contents = inner if nouns.singular(head.lower) in nouns.CONTAINERS_OF else None
    if contents is not None and is_nominal(draft.parse, contents) and contents.lower not in nouns.PICTURE:
        noun = f"{noun} of {with_article(draft.parse, contents)}"
        _contents(draft, contents)
    written = determiner(draft.parse, head)
    definite = written in modifiers.DEFINITE
    owner = draft.parse.child(head, "poss")
    mention = Mention(
        noun=noun, head=nouns.singular(head.lower), plural=is_plural(draft.parse, head), mass=is_mass(draft.parse, head),
        proper=is_proper(head, written),
        possessor=_owner(draft, owner), at=head.start,
    )  # fmt: skip
    number = draft.mention(mention)
    if not (head.lower in nouns.BODY_PARTS and owner is not None) and head.lower != "ground":
        span = (draft.first(head), head, *((contents,) if contents is not None else ()))
        draft.state(ClaimType.OBJECT, Form.EXISTS, number, span, implied=definite or owner is not None)
    read_properties(draft, head, number)
    _schedule(draft, head, number)
    return number


def _owner(draft: Draft, owner: Word | None) -> Reference | None:
    if owner is None:
        return None
    if owner.tag == "PRP$":
        return Pronoun(owner.lower, owner.start)
    return read_noun(draft, owner)


def _contents(draft: Draft, inner: Word) -> None:
    """What a group or container is made of: known from here on, but named by the whole ("a group of people")."""
    for word in draft.parse.conjuncts(inner):
        if (
            word.index in draft.seen
            or not is_nominal(draft.parse, word)
            or (word is not inner and _stands_apart(draft.parse, word))
        ):
            continue
        number = draft.mention(
            Mention(
                name(draft.parse, word),
                nouns.singular(word.lower),
                plural=is_plural(draft.parse, word),
                mass=is_mass(draft.parse, word),
                at=word.start,
            )
        )
        draft.seen[word.index] = number
        read_properties(draft, word, number)
        _schedule(draft, word, number)


def _schedule(draft: Draft, head: Word, reference: Reference, subject: Word | None = None) -> None:
    """Leave clauses and places under the noun for their readers."""
    subjects = (draft.subject(reference, subject or head),)
    for below in _modifiers(draft.parse, head):
        if below.dep in ("acl", "relcl", "amod"):
            draft.clauses.append(Pending(below, subjects))
        elif below.dep == "appos":
            read_nouns(draft, below)
        else:
            draft.places.append(Pending(below, subjects))


def _modifiers(parse: Parse, head: Word) -> Iterator[Word]:
    for below in parse.children(head):
        after = below.index > head.index
        completed = below.dep == "amod" and parse.child(below, "prep") is not None
        if (after and (below.dep in ("acl", "relcl", "appos", "prep") or completed)) or (
            below.dep == "advmod" and below.role is Role.PREPOSITION
        ):
            yield below
