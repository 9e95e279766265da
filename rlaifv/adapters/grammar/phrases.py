"""Noun phrases: what exists, how many, and of what kind."""

from __future__ import annotations

from collections.abc import Iterator

from rlaifv.adapters.grammar.decomposition import SkipReason
from rlaifv.adapters.grammar.disguise import Role
from rlaifv.adapters.grammar.draft import Draft, Pending, Subject
from rlaifv.adapters.grammar.inflection import article, looks_plural
from rlaifv.adapters.grammar.lexicon import modifiers, nouns, words
from rlaifv.adapters.grammar.parsing import Word
from rlaifv.adapters.grammar.propositions import Form, Mention, Pronoun, Reference
from rlaifv.adapters.grammar.stance import is_abstract, is_animate, is_hedged_noun
from rlaifv.core.claims import ClaimType

PRONOUNS = words("it they he she them him her this these that those both its their his himself herself itself")
_TRANSPARENT = words("""
    lot lots number variety couple dozen dozens hundreds thousands plenty few kind type sort mix mixture selection
    assortment array range series rest majority presence view close-up closeup glimpse collection-of
    scattering abundance multitude
""")
_QUANTITIES = words("couple dozens hundreds thousands")
_PARTITIVES = words("one some most all both many several each two three four five half none another")
_INTENSIFIERS = words("""
    very quite so rather really fairly somewhat slightly extremely incredibly particularly relatively too also still
    visually clearly just mostly more most less almost nearly exactly simply all both
""")
_NUMBER_WORDS = {str(n): w for w, n in modifiers.NUMBERS.items() if w != "dozen"}


def read_nouns(draft: Draft, head: Word, *, negated: bool = False) -> tuple[Subject, ...]:
    """The noun phrase of `head` and those coordinated with it; what cannot be pointed at is left out."""
    if is_hedged_noun(draft.parse, head):
        draft.noticed.append(SkipReason.HEDGE)
        return ()
    found = []
    for word in draft.parse.conjuncts(head):
        reference = read_noun(draft, word, negated=negated)
        if reference is not None:
            found.append(draft.subject(reference, word))
    return tuple(found)


def read_noun(draft: Draft, head: Word, *, negated: bool = False) -> Reference | None:
    """The mention or pronoun of one noun phrase, read at most once; None if nothing in it can be pointed at."""
    if head.index not in draft.seen:
        draft.seen[head.index] = None
        draft.seen[head.index] = _read(draft, head, negated)
    return draft.seen[head.index]


def _read(draft: Draft, head: Word, negated: bool) -> Reference | None:
    inner = _inner(draft, head)
    if inner is not None and head.lower in _PARTITIVES:
        return _partitive(draft, head, inner)
    if inner is not None and head.lower in _TRANSPARENT:
        return _transparent(draft, head, inner)
    if head.pos in ("PRON", "DET") or head.lower in PRONOUNS:
        return Pronoun(head.lower, head.start) if head.lower in PRONOUNS else None
    if head.role in (Role.WRITING, Role.PLACE) or not _is_nominal(head):
        return None
    if head.lower in nouns.PICTURE or is_abstract(head.lower):
        _descend(draft, head)
        return None
    if negated or any(w.lower == "no" for w in draft.parse.children(head, "det")):
        _absent(draft, head)
        return None
    return _present(draft, head, inner)


def _is_nominal(head: Word) -> bool:
    return head.pos in ("NOUN", "PROPN") and any(c.isalpha() for c in head.text) and head.lower not in modifiers.COLOURS


def _inner(draft: Draft, head: Word) -> Word | None:
    """The X of "a slice of X"."""
    for prep in draft.parse.children(head, "prep"):
        if prep.lower == "of":
            return draft.parse.child(prep, "pobj")
    return None


def _partitive(draft: Draft, head: Word, inner: Word) -> Reference | None:
    """ "one of the dogs" is a subject of its own, beside the dogs."""
    group = read_noun(draft, inner)
    if not isinstance(group, int):
        return group
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
    for below in draft.parse.children(head):
        if below.dep in ("acl", "relcl"):
            draft.clauses.append(Pending(below, ()))
        elif below.dep == "prep" and (below.lower in ("of", "with", "including") or below.role is Role.PREPOSITION):
            for target in draft.parse.children(below, "pobj"):
                read_nouns(draft, target)
    if any(w.lower in modifiers.OPINIONS for w in draft.parse.children(head, "amod")) or is_abstract(head.lower):
        draft.noticed.append(SkipReason.OPINION)


def _absent(draft: Draft, head: Word) -> None:
    """ "no red car on the left" is denied as a whole: without its properties the denial would say more."""
    skipped = {w.index for w in draft.parse.children(head, "det")}
    for prep in draft.parse.children(head, "prep"):
        target = draft.parse.child(prep, "pobj")
        if target is not None and target.lower in nouns.PICTURE:
            skipped |= {w.index for w in draft.parse.below(prep)}
    words = sorted(
        (w for w in draft.parse.below(head) if w.dep not in ("conj", "cc", "punct", "appos")), key=lambda w: w.index
    )
    conjuncts = {w.index for c in draft.parse.children(head, "conj", "appos") for w in draft.parse.below(c)}
    kept = [
        w
        for w in words
        if w.index not in skipped and w.index not in conjuncts and w.lower not in ("visible", "other", "any")
    ]
    noun = " ".join(w.lower if w.index == 0 else w.text for w in kept)
    number = draft.mention(Mention(noun, head.lower, plural=is_plural(draft, head), absent=True, at=head.start))
    determiners = draft.parse.children(head, "det")
    draft.state(ClaimType.OBJECT, Form.EXISTS, number, (*determiners, head, *kept), negated=True)


def _present(draft: Draft, head: Word, inner: Word | None) -> int:
    noun = _name(draft, head)
    contents = inner if nouns.singular(head.lower) in nouns.CONTAINERS_OF else None
    if contents is not None and _is_nominal(contents) and contents.lower not in nouns.PICTURE:
        noun = f"{noun} of {_with_article(draft, contents)}"
        _contents(draft, contents)
    definite = _determiner(draft, head) in modifiers.DEFINITE
    owner = draft.parse.child(head, "poss")
    mention = Mention(
        noun=noun, head=nouns.singular(head.lower), plural=is_plural(draft, head), mass=_is_mass(draft, head),
        proper=head.tag.startswith("NNP") and head.role is Role.PLAIN and not definite and head.text[:1].isupper(),
        possessor=_owner(draft, owner), at=head.start,
    )  # fmt: skip
    number = draft.mention(mention)
    if not (head.lower in nouns.BODY_PARTS and owner is not None) and head.lower != "ground":
        span = (draft.first(head), head, *((contents,) if contents is not None else ()))
        draft.state(ClaimType.OBJECT, Form.EXISTS, number, span, implied=definite or owner is not None)
    _count(draft, head, number)
    _attributes(draft, head, number)
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
        if word.index in draft.seen or not _is_nominal(word):
            continue
        number = draft.mention(
            Mention(
                _name(draft, word),
                nouns.singular(word.lower),
                plural=is_plural(draft, word),
                mass=_is_mass(draft, word),
                at=word.start,
            )
        )
        draft.seen[word.index] = number
        _count(draft, word, number)
        _attributes(draft, word, number)
        _schedule(draft, word, number)


def _name(draft: Draft, head: Word) -> str:
    """The noun with what belongs to its name: compounds, not properties."""
    parts = [head]
    for below in draft.parse.children(head):
        belongs = below.dep in ("compound", "nmod") or (
            below.dep == "amod"
            and (
                below.lower in nouns.GERUND_MODIFIERS
                or (below.tag in ("NN", "NNS", "NNP") and not below.can_be_adjective)
            )
        )
        if belongs and below.role not in (Role.COLOUR, Role.WRITING) and below.index < head.index:
            parts += [w for w in draft.parse.below(below) if w.dep not in ("amod", "det", "punct") or w is below]
    words = sorted(parts, key=lambda w: w.index)
    return " ".join(_cased(w, head) for w in words)


def _cased(word: Word, head: Word) -> str:
    if word.role is Role.PLAIN and word.tag.startswith("NNP") and (word.index > 0 or head is not word):
        return word.text
    keeps = (word.text.isupper() and len(word.text) > 1) or word.text[1:2] == "-"
    return word.text if keeps else word.lower


def _determiner(draft: Draft, head: Word) -> str:
    determiner = draft.parse.child(head, "det")
    return determiner.lower if determiner is not None else ""


def is_plural(draft: Draft, head: Word) -> bool:
    """Number by numeral, determiner, verb, and only then by form, since the tagger errs on rare nouns."""
    below = [w.lower for w in draft.parse.children(head, "det", "nummod", "amod")]
    if any(
        w in modifiers.PLURAL_DETERMINERS or modifiers.NUMBERS.get(w, 0) > 1 or (w.isdigit() and w != "1")
        for w in below
    ):
        return True
    if head.lower in nouns.PLURAL_ONLY:
        return True
    if any(w in modifiers.SINGULAR_DETERMINERS for w in below):
        return False
    last = head.lower.split()[-1].split("-")[-1]
    if last in nouns.INVARIANT:
        return _agrees_with_plural(draft, head)
    return looks_plural(last)


def _agrees_with_plural(draft: Draft, head: Word) -> bool:
    verb = draft.parse.head(head)
    finite = [verb, *draft.parse.children(verb, "aux", "auxpass")]
    return any(w.lower in ("are", "were", "have") for w in finite)


def _is_mass(draft: Draft, head: Word) -> bool:
    last = head.lower.split()[-1]
    return last in nouns.MASS and _determiner(draft, head) not in ("a", "an") and not is_plural(draft, head)


def _with_article(draft: Draft, head: Word) -> str:
    noun = _name(draft, head)
    determiner = _determiner(draft, head)
    if determiner in ("a", "an"):
        return f"{article(noun)} {noun}"
    return f"the {noun}" if determiner == "the" else noun


def _count(draft: Draft, head: Word, number: int) -> None:
    for below in draft.parse.children(head):
        value = _NUMBER_WORDS.get(below.lower, below.lower)
        numeral = below.dep in ("nummod", "amod", "det") and (value in modifiers.NUMBERS or value.isdigit())
        vague = below.dep in ("amod", "det", "nummod") and value in modifiers.VAGUE_NUMBERS
        few = value == "few" and any(w.lower == "a" for w in draft.parse.children(head, "det"))
        if numeral and value == "dozen":
            value = "a dozen"
        if (numeral or vague or few) and not draft.parse.children(below, "advmod", "quantmod"):
            draft.state(ClaimType.COUNT, Form.EXISTS, number, (below, head), rest=("a few" if few else value,))


def _attributes(draft: Draft, head: Word, number: int) -> None:
    for below in draft.parse.children(head):
        coloured = below.role is Role.COLOUR and below.index < head.index
        if not coloured and below.dep != "amod":
            continue
        for adjective in draft.parse.conjuncts(below):
            _attribute(draft, head, adjective, number)


def _attribute(draft: Draft, head: Word, adjective: Word, number: int) -> None:
    if adjective.index > head.index or adjective.lower in nouns.GERUND_MODIFIERS:
        return
    if adjective.tag == "VBG" and adjective.role is Role.PLAIN:
        if is_animate(head.lower) or adjective.lower in ("running", "flying", "moving", "burning"):
            draft.state(ClaimType.ACTION, Form.BE, number, (adjective, head), rest=(adjective.lower,))
        return
    text = property_text(draft, adjective)
    if text:
        draft.state(ClaimType.ATTRIBUTE, Form.BE, number, (adjective, head), rest=(text,))


def property_text(draft: Draft, adjective: Word) -> str:
    """The adjective as it can follow "is", with an adverb that matters ("brightly lit"); "" if it says nothing checkable."""
    word = adjective.lower
    if adjective.role is Role.COLOUR:
        return adjective.text
    if word in modifiers.OPINIONS:
        draft.noticed.append(SkipReason.OPINION)
        return ""
    unfit = word in modifiers.UNCHECKABLE or word in modifiers.VAGUE_NUMBERS or word in modifiers.NUMBERS
    if (
        unfit
        or adjective.tag in ("JJR", "JJS", "CD", "DT")
        or (adjective.tag.startswith("NN") and not adjective.can_be_adjective)
        or not word[0].isalpha()
    ):
        return ""
    adverbs = [
        w.lower
        for w in draft.parse.children(adjective, "advmod", "npadvmod")
        if w.index < adjective.index and w.lower not in _INTENSIFIERS
    ]
    return " ".join([*adverbs, word])


def _schedule(draft: Draft, head: Word, reference: Reference, subject: Word | None = None) -> None:
    """Leave clauses and places under the noun for their readers."""
    subjects = (draft.subject(reference, subject or head),)
    for below in _modifiers(draft, head):
        if below.dep in ("acl", "relcl"):
            draft.clauses.append(Pending(below, subjects))
        elif below.dep == "appos":
            read_nouns(draft, below)
        else:
            draft.places.append(Pending(below, subjects))


def _modifiers(draft: Draft, head: Word) -> Iterator[Word]:
    for below in draft.parse.children(head):
        if (below.dep in ("acl", "relcl", "appos", "prep") and below.index > head.index) or (
            below.dep == "advmod" and below.role is Role.PREPOSITION
        ):
            yield below
