"""What a noun phrase is called: its name, number and article, apart from its properties."""

from __future__ import annotations

from rlaifv.adapters.grammar.disguise import Role
from rlaifv.adapters.grammar.inflection import article, looks_plural
from rlaifv.adapters.grammar.lexicon import modifiers, nouns
from rlaifv.adapters.grammar.parsing import Parse, Word
from rlaifv.adapters.grammar.stance import is_animate


def is_nominal(parse: Parse, head: Word) -> bool:
    """Whether the word can name a thing; a bare colour ("in red") cannot."""
    if (
        head.lower.endswith("ing")
        and head.role is Role.PLAIN
        and not parse.children(head, "det", "compound", "amod", "nummod")
    ):
        return head.lower in nouns.NOUNS_IN_ING or head.lower in nouns.MASS
    named = head.role is Role.NOUN or head.lower not in modifiers.PLAIN_COLOURS
    return head.pos in ("NOUN", "PROPN") and any(c.isalpha() for c in head.text) and named


def name(parse: Parse, head: Word) -> str:
    """The noun with what belongs to its name: compounds, not properties."""
    parts = [head]
    for below in parse.children(head):
        joined = parse.child(below, "cc", "conj") is not None
        if below.index < head.index and not joined and _belongs_to_name(below, head):
            parts += [w for w in parse.below(below) if w.dep not in ("amod", "det", "punct") or w is below]
    return " ".join(_cased(w, head) for w in sorted(parts, key=lambda w: w.index))


def _belongs_to_name(word: Word, head: Word) -> bool:
    if word.role in (Role.COLOUR, Role.WRITING):
        return False
    return word.dep in ("compound", "nmod") or (word.dep == "amod" and names_a_kind(word, head))


def names_a_kind(word: Word, head: Word) -> bool:
    """Whether a modifier makes a compound: "dining table", "storefront sign"; not "sleeping cat", "tall tower"."""
    if word.lower in nouns.GERUND_MODIFIERS:
        return not is_animate(head.lower)
    return word.tag in ("NN", "NNS", "NNP", "JJ") and word.can_be_noun and not word.can_be_adjective


def _cased(word: Word, head: Word) -> str:
    if word.role is Role.PLAIN and word.tag.startswith("NNP") and (word.index > 0 or head is not word):
        return word.text
    keeps = (word.text.isupper() and len(word.text) > 1) or word.text[1:2] == "-"
    if keeps:
        return word.text
    return " ".join(part if part.isupper() and len(part) > 1 else part.lower() for part in word.text.split())


def is_proper(head: Word, determiner: str) -> bool:
    """Whether the noun is a name that takes no article."""
    plain = head.role is Role.PLAIN and head.tag.startswith("NNP") and not (head.index == 0 and head.can_be_noun)
    return plain and not determiner and head.text[:1].isupper() and not head.text.isupper()


def determiner(parse: Parse, head: Word) -> str:
    """The article or demonstrative in lower case, "" if there is none."""
    found = parse.child(head, "det")
    return found.lower if found is not None else ""


def is_plural(parse: Parse, head: Word) -> bool:
    """Number by numeral, determiner, verb, and only then by form, since the tagger errs on rare nouns."""
    below = [w.lower for w in parse.children(head, "det", "nummod", "amod")]
    if any(w in modifiers.PLURAL_DETERMINERS or _is_many(w) for w in below) or head.lower in nouns.PLURAL_ONLY:
        return True
    if any(w in modifiers.SINGULAR_DETERMINERS for w in below):
        return False
    last = head.lower.split()[-1].split("-")[-1]
    if last in nouns.INVARIANT:
        verb = parse.head(head)
        return any(w.lower in ("are", "were", "have") for w in (verb, *parse.children(verb, "aux", "auxpass")))
    return looks_plural(last)


def _is_many(numeral: str) -> bool:
    return modifiers.NUMBERS.get(numeral, 0) > 1 or (numeral.isdigit() and numeral != "1")


def is_mass(parse: Parse, head: Word) -> bool:
    """Whether the noun goes without an article: "grass", but not "a beer"."""
    last = head.lower.split()[-1]
    return last in nouns.MASS and determiner(parse, head) not in ("a", "an") and not is_plural(parse, head)


def is_idiom(parse: Parse, head: Word) -> bool:
    """A bare singular after a preposition names no thing: "in line", "on foot", "at sea"."""
    if head.role is not Role.PLAIN or is_plural(parse, head) or is_mass(parse, head) or head.tag != "NN":
        return False
    return not any(w.index < head.index for w in parse.children(head))


def with_article(parse: Parse, head: Word) -> str:
    """The name with the article it was written with."""
    noun, written = name(parse, head), determiner(parse, head)
    if written in ("a", "an"):
        return f"{article(noun)} {noun}"
    return f"the {noun}" if written == "the" else noun
