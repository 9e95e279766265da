"""What is said of a thing inside its own noun phrase: how many, and what it is like."""

from __future__ import annotations

from rlaifv.adapters.grammar.disguise import Role
from rlaifv.adapters.grammar.draft import Draft
from rlaifv.adapters.grammar.lexicon import modifiers, nouns, words
from rlaifv.adapters.grammar.names import names_a_kind
from rlaifv.adapters.grammar.parsing import Parse, Word
from rlaifv.adapters.grammar.propositions import Form
from rlaifv.adapters.grammar.stance import is_animate
from rlaifv.core.claims import ClaimType
from rlaifv.core.decomposition import SkipReason

_INTENSIFIERS = words("""
    very quite so rather really fairly somewhat slightly extremely incredibly particularly relatively too also still
    visually clearly just mostly more most less almost nearly exactly simply all both currently completely entirely
""")
_APPROXIMATE = words(
    "about around approximately roughly nearly almost over least most than some up under perhaps maybe"
)
_NUMBER_WORDS = {str(n): w for w, n in modifiers.NUMBERS.items() if w != "dozen"}
_MOVING = words("running flying moving burning falling floating glowing flowing")


def read_properties(draft: Draft, head: Word, number: int) -> None:
    """State count and attributes of the mention `number`, whose noun is `head`."""
    for below in draft.parse.children(head):
        quantity = _quantity(draft.parse, below)
        if quantity:
            draft.state(ClaimType.COUNT, Form.EXISTS, number, (below, head), rest=(quantity,))
        elif below.dep == "amod" or (below.role is Role.COLOUR and below.index < head.index):
            for adjective in draft.parse.conjuncts(below):
                _attribute(draft, head, adjective, number)


def _quantity(parse: Parse, word: Word) -> str:
    """ "two", "several", "a few"; "" for what is no number, or one the answer is not sure of ("about ten")."""
    if word.dep not in ("nummod", "amod", "det"):
        return ""
    below = {w.lower for w in parse.children(word)}
    value = _NUMBER_WORDS.get(word.lower, word.lower)
    if below & _APPROXIMATE:
        return ""
    if value in ("few", "dozen", "hundred"):
        return f"a {value}" if "a" in below or value != "few" else ""
    return value if value in modifiers.NUMBERS or value.isdigit() or value in modifiers.VAGUE_NUMBERS else ""


def _attribute(draft: Draft, head: Word, adjective: Word, number: int) -> None:
    if adjective.index > head.index or names_a_kind(adjective, head):
        return
    if adjective.tag == "VBG" and adjective.role is Role.PLAIN:
        if is_animate(head.lower) or adjective.lower in _MOVING:
            draft.state(ClaimType.ACTION, Form.BE, number, (adjective, head), rest=(adjective.lower,))
        return
    text = property_text(draft, adjective)
    if text:
        draft.state(ClaimType.ATTRIBUTE, Form.BE, number, (adjective, head), rest=(text,))


def property_text(draft: Draft, adjective: Word) -> str:
    """The adjective as it can follow "is", with an adverb that matters ("brightly lit"); "" if nothing can be checked."""
    word = adjective.lower
    if adjective.role is Role.COLOUR:
        return adjective.text
    if word in modifiers.OPINIONS:
        draft.noticed.append(SkipReason.OPINION)
        return ""
    measured = any(draft.parse.child(w, "nummod") for w in draft.parse.children(adjective, "npadvmod"))
    if measured or not _is_checkable(adjective):
        return ""
    adverbs = [
        w.lower
        for w in draft.parse.children(adjective, "advmod", "npadvmod")
        if w.index < adjective.index and w.lower not in _INTENSIFIERS
    ]
    return " ".join([*adverbs, word])


def _is_checkable(adjective: Word) -> bool:
    word = adjective.lower
    if word in modifiers.UNCHECKABLE or word in modifiers.VAGUE_NUMBERS or word in modifiers.NUMBERS:
        return False
    noun = adjective.tag.startswith("NN") and not adjective.can_be_adjective
    return (
        not noun and adjective.tag not in ("JJR", "JJS", "CD", "DT") and word[0].isalpha() and word not in nouns.PICTURE
    )
