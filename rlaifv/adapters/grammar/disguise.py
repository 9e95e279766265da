"""What the parser is shown instead of the sentence.

A small statistical parser takes "fish", "light" or "orange" for verbs and adjectives, and gets lost in quoted writing and
in places such as "in the top right corner of the image". Each such stretch is shown to it as one plain word ("dog",
"red", "town"), while the claims are worded from what was really written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from rlaifv.adapters.grammar.inflection import looks_plural
from rlaifv.adapters.grammar.lexicon import compounds, modifiers, nouns, verbs, words


class Role(StrEnum):
    """What a piece is known to be, whatever the parser's tagger says."""

    PLAIN = "plain"
    COLOUR = "colour"
    NOUN = "noun"
    PLACE = "place"
    PREPOSITION = "preposition"
    WRITING = "writing"
    """ "'STOP'" by itself."""
    SAYING = "saying"
    """ "says 'STOP'"."""
    LETTERING = "lettering"
    """ "the word 'STOP'"."""


@dataclass(frozen=True, slots=True)
class Piece:
    """`sentence[start:end]`, what it counts as in a claim, and the single word that the parser sees in its place."""

    start: int
    end: int
    text: str
    shown: str
    role: Role = Role.PLAIN


Tokens = Callable[[str], list[tuple[int, str]]]
"""Words of a text with their offsets."""
Ambiguous = Callable[[str], bool]
"""Whether a lower-case word can be anything else than a noun."""

_PICTURE = r"(?:image|picture|photo(?:graph)?|scene|frame|shot|view|screen|composition)"
_OF_PICTURE = rf"(?:\s+of\s+(?:the|this|your|our)\s+(?:entire\s+|whole\s+)?{_PICTURE})"
_SIDE = (
    r"(?:top|bottom|upper|lower|left|right|left-hand|right-hand|middle|cent(?:er|re)|central|front|back|rear|far|near|very"
    r"|extreme|other|opposite|immediate|blurred|blurry|distant|outer)"
)
_REGION = (
    r"(?:sides?|corners?|part|half|edges?|area|portion|section|third|quadrant|cent(?:er|re)|end|background|foreground"
    r"|distance|midground|horizon|middle)"
)
_BARE = r"(?:top|bottom|left|right|front|back|rear|middle|cent(?:er|re)|far left|far right)"
_GOES_ON = (
    r"(?=\s*(?:[.,;:!?)\"—–-]|$)|\s+(?:and|or|is|are|was|were|there|with|while|which|that|who|a|an|the|but|as|where|has|have"
    r"|behind|near|next|in|on|at|by|to|stands?|sits?|lies?|i|we|you|he|she|it|they|one|two|three|four|five|several|some|can"
    r"|also|appears?|from|beside|under|above|below|\w+ing)\b)"
)
_PLACE = (
    rf"(?<=\b(?:in|on|at|to)\s)(?P<place>(?:the\s+)?(?:{_SIDE}[\s-]+)*(?:{_REGION}(?:{_OF_PICTURE}|(?!\s+of\b))"
    rf"|{_BARE}(?:{_OF_PICTURE}|{_GOES_ON})))"
)
_PREPOSITION = (
    rf"\b(?P<preposition>(?:at|on)\s+the\s+(?:head|foot|base|mouth|tip|surface|rim|tail\s+end)\s+of|(?!(?:\w+\s+)+?(?:{_SIDE}[\s-]+)*(?:{_REGION}|{_BARE}){_OF_PICTURE})(?:in|on|at|to)\s+(?:the\s+|either\s+|both\s+|each\s+)?(?:{_SIDE}[\s-]+)*(?:{_REGION}|{_BARE})\s+of"
    r"|in\s+front\s+of|on\s+top\s+of|next\s+to|close\s+to|adjacent\s+to|in\s+between|(?:left|right)\s+of|inside\s+of|outside\s+of"
    r"|far\s+from|away\s+from|across\s+from|in\s+the\s+midst\s+of|just\s+(?:behind|below|above|beside|under)"
    r"|directly\s+(?:behind|below|above|beside|under|in\s+front\s+of)|right\s+(?:behind|next\s+to|beside)|alongside|atop|out\s+of"
    r"|along\s+with|together\s+with)\b"
)
_SHADED = rf"(?:(?:{'|'.join(sorted(modifiers.SHADES))})[\s-]+)?(?:{'|'.join(sorted(modifiers.COLOURS))})(?:ish)?"
_COLOUR = rf"\b(?P<colour>{_SHADED}(?:(?:,\s+{_SHADED})*,?\s+and\s+{_SHADED}|-and-{_SHADED}|[-/]{_SHADED})?)(?![\w-])"
_COMPOUND = "|".join(
    re.escape(c).replace(r"\ ", r"[\s-]") for c in sorted(compounds.COMPOUNDS, key=lambda c: (-len(c), c))
)
_QUOTATION = r'(?:"[^"]{1,200}"|(?<!\w)\'(?=\S)(?:[^\'"]|\'(?=\w)){1,200}\'(?!\w))'
_CAPITALS = r"(?-i:(?:[A-Z0-9][A-Z0-9&'!.-]*\w!?|[A-Z])(?!\w)(?:\s+[A-Z0-9][A-Z0-9&'!-]*(?!\w))*)"
_SAYS = r"(?:says?|reads?|reading|saying|states|spells|spelling)"
_LETTERS = r"(?:words?|text|phrase|letters?|numbers?|message|inscription|slogan|caption|label|logo)"
_WRITING = (
    rf"(?P<saying>\b{_SAYS}\s*[,:]?\s+(?:{_QUOTATION}|{_CAPITALS}))"
    rf"|(?P<lettering>\b{_LETTERS}\s*[,:]?\s+(?:{_QUOTATION}|{_CAPITALS}))|(?P<writing>{_QUOTATION})"
)
_LEADING = r"\b(?P<leading>(?:contains?|shows?|includes?|including|features?|depicts?|sees?|has|have|is|are)\s*:)(?=\s)"
_HYPHENED = r"(?P<hyphened>\b[^\W\d_]+(?:-[^\W\d_]+)+\b)"
_CHUNKS = re.compile(
    rf"{_WRITING}|{_LEADING}|{_PREPOSITION}|{_PLACE}|\b(?P<compound>(?:{_COMPOUND})(?:e?s)?)\b|{_COLOUR}|{_HYPHENED}",
    re.IGNORECASE,
)
_BEGINS_PROSE = words("a an the this that these those there it in on at i we you he she they two three several some")
_FUNCTION = words("""
    is are was were be been has have had and or but with in on at by near of to from under over above below behind
    beside between next which that who while there can as where it he she they for into onto inside outside around
    against along across through the a an this these those also not appears seems may might could would will do does
    did its his her their
""")
_AFTER_A_VERB = words("against on in over above at near from under towards toward beside behind across along around by")
_LINKING = words(
    "is are was were be been being looks look painted dyed colored coloured isn't aren't not mostly all both"
)
_AFTER_A_NOUN = words("cheese medal medals cone")
_BEFORE_A_FRUIT = words("fresh ripe sliced peeled and with")
_BEFORE_A_NOUN = words("a an the no") | frozenset(modifiers.NUMBERS) | frozenset(["several", "many"])
_NOT_DISGUISED = (
    nouns.CONTAINERS_OF | nouns.POSITIONS | nouns.PICTURE | nouns.ABSTRACT | nouns.WRITABLE | nouns.PLURAL_ONLY
    | modifiers.UNCHECKABLE | frozenset(["few", "little", "dozen", "hundred", "couple", "them", "lot"])
)  # fmt: skip


def disguise(sentence: str, tokens: Tokens, ambiguous: Ambiguous) -> list[Piece]:
    """The pieces of `sentence` in order; everything but white space is in exactly one."""
    pieces: list[Piece] = []
    position = 0
    for found in _CHUNKS.finditer(sentence):
        piece = _chunk(found, sentence)
        if piece is None or found.start() < position:
            continue
        pieces += _plain(sentence, position, piece.start, tokens)
        pieces.append(piece)
        position = piece.end
    pieces += _plain(sentence, position, len(sentence), tokens)
    return list(_nouns_disguised(pieces, ambiguous))


def _plain(sentence: str, start: int, end: int, tokens: Tokens) -> Iterator[Piece]:
    for offset, word in tokens(sentence[start:end]):
        shown = "," if word in ("-", "–", "—", "--") else word
        yield Piece(start + offset, start + offset + len(word), word, shown)


def _chunk(found: re.Match[str], sentence: str) -> Piece | None:
    start, end = found.span()
    text = re.sub(r"\s+", " ", found.group())
    if found.lastgroup in ("writing", "saying", "lettering") and not any(
        c.isalnum() for c in text.partition(" ")[2] or text
    ):
        return None
    match found.lastgroup:
        case "writing":
            quoted = text.strip("\"' ")
            prose = " " in quoted and quoted.split()[0].lower() in _BEGINS_PROSE
            return None if prose else Piece(start, end, quoted, "London", Role.WRITING)
        case "leading":
            word = text.rstrip(": ")
            return Piece(start, end, word, word)
        case "saying" | "lettering":
            return _written(start, end, text, Role(found.lastgroup))
        case "place":
            return Piece(start, end, re.sub(rf"{_OF_PICTURE}$", "", text, flags=re.I).lower(), "town", Role.PLACE)
        case "preposition":
            return Piece(start, end, text.lower(), "near", Role.PREPOSITION)
        case "compound":
            return Piece(start, end, text, "cars" if looks_plural(text.split()[-1].lower()) else "car", Role.NOUN)
        case "colour":
            return _colour(start, end, text, sentence)
        case _:
            return Piece(start, end, text, text)


def _written(start: int, end: int, text: str, role: Role) -> Piece:
    """ "reads 'STOP'" as one verb, "the words 'No Parking'" as one noun; the text is what is written."""
    introduction, _, writing = text.partition(" ")
    plural = introduction.lower().rstrip(",:").endswith("s")
    if role is Role.LETTERING:
        shown = "words" if plural else "word"
    elif introduction.lower().rstrip(",:").endswith("ing"):
        shown = "speaking"
    else:
        shown = "speaks" if plural else "speak"
    return Piece(start, end, writing.strip("\"' "), shown, role)


def _colour(start: int, end: int, text: str, sentence: str) -> Piece | None:
    """A colour, unless the word stands where a noun stands ("an orange is on the plate", "with mustard")."""
    before = re.search(r"(\w+)\s+$", sentence[:start])
    after = re.match(r"\s+(\w+)", sentence[end:])
    previous = before.group(1).lower() if before else ""
    following = after.group(1).lower() if after else ""
    described = bool(following) and following not in _FUNCTION and following not in _AFTER_A_NOUN
    if described or previous in _LINKING:
        return Piece(start, end, text[0].lower() + text[1:], "red", Role.COLOUR)
    if text.lower() in ("orange", "peach", "lime") and previous in _BEFORE_A_NOUN | modifiers.COLOURS | _BEFORE_A_FRUIT:
        return Piece(start, end, text, "apple", Role.NOUN)
    return None


def _nouns_disguised(pieces: list[Piece], ambiguous: Ambiguous) -> Iterator[Piece]:
    """Ambiguous words that stand where only a noun can stand, and verbs that the parser takes for nouns."""
    edge = Piece(0, 0, ".", ".")
    for previous, piece, following in zip([edge, *pieces], pieces, [*pieces[1:], edge], strict=False):
        word = piece.text.lower()
        if piece.role is not Role.PLAIN:
            yield piece
        elif _is_introduced(previous) and _ends_there(following.text.lower()) and _may_hide(word, ambiguous):
            many = looks_plural(word) or _counts_many(previous.text.lower())
            yield replace(piece, shown="dogs" if many else "dog", role=Role.NOUN)
        elif word in ("has", "have") and _is_had(following):
            yield replace(piece, shown="holds" if word == "has" else "hold")
        elif word in verbs.SHOWN_AS_STANDS and _continues_a_verb(following):
            yield replace(piece, shown="stands")
        else:
            yield piece


def _is_introduced(previous: Piece) -> bool:
    word = previous.text.lower()
    return previous.role is Role.COLOUR or word in _BEFORE_A_NOUN or word.isdigit()


def _ends_there(following: str) -> bool:
    participle = following.endswith("ing") and following not in nouns.NOUNS_IN_ING
    return following in _FUNCTION or not following[0].isalnum() or participle


def _is_had(following: Piece) -> bool:
    word = following.text.lower()
    return word not in ("been", "to", "not", "n't", "also", "become", "just") and not word.endswith(("ed", "en", "ly"))


def _continues_a_verb(following: Piece) -> bool:
    return following.role is Role.PREPOSITION or following.text.lower() in _AFTER_A_VERB


def _may_hide(word: str, ambiguous: Ambiguous) -> bool:
    if not word.replace("-", "").isalpha():
        return False
    return word not in _FUNCTION and word not in _NOT_DISGUISED and not word.endswith("ly") and ambiguous(word)


def _counts_many(word: str) -> bool:
    return (
        (word in modifiers.NUMBERS and word != "one") or (word.isdigit() and word != "1") or word in ("several", "many")
    )
