"""Finds what a language model quotes in the text that it read: as written, or else up to case, spaces, accents and marks."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from rlaifv.adapters.llm.windows import Span, is_mark

_PLAIN = str.maketrans(dict.fromkeys("“”„‟«»＂", '"') | dict.fromkeys("‘’‚‛`´ʼ′＇", "'") | dict.fromkeys("‐‑‒–—−", "-"))


class QuotedText:
    """A text that quotes are looked up in."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._folded = _folded(text)

    def places(self, quote: str, own: int) -> list[Span]:
        """Where `quote` reaches beyond `own`, in order; nowhere for a quote of marks and spaces only.

        Whole words are taken before parts of words, the exact wording before a like one; parts of words only where the quote
        is nowhere whole, not even before `own`.
        """
        if not any(unicodedata.category(character)[0] in "LNS" for character in quote):
            return []
        found = [self._exact(quote), self._alike(quote)]
        whole = [[place for place in places if self._is_whole(place)] for places in found]
        for places in whole if any(whole) else found:
            reaching = [place for place in places if place[1] > own]
            if reaching:
                return reaching
        return []

    def find(self, quote: str, *, own: int, after: int) -> Span | None:
        """The first of `places` from `after` on, else the first of all; None where there is none."""
        places = self.places(quote, own)
        return next((place for place in places if place[0] >= after), places[0] if places else None)

    def holds(self, quote: str) -> bool:
        """Whether the quote is anywhere in the text, the lead included."""
        return bool(self.places(quote, 0))

    def _exact(self, quote: str) -> list[Span]:
        wanted = quote.strip()
        return [(at, at + len(wanted)) for at in _places(self._text, wanted)]

    def _alike(self, quote: str) -> list[Span]:
        wanted = _folded(quote).text
        trimmed = wanted.strip(" .,;:!?…\"'*_-")
        for form in (wanted, trimmed):
            found = [self._origin(at, at + len(form)) for at in _places(self._folded.text, form)]
            if found:
                return found
        return []

    def _origin(self, start: int, end: int) -> Span:
        """The written characters behind a stretch of the folded text, with the accents that follow the last."""
        begin, stop = self._folded.starts[start], self._folded.starts[end - 1] + 1
        while stop < len(self._text) and is_mark(self._text[stop]):
            stop += 1
        return begin, stop

    def _is_whole(self, place: Span) -> bool:
        start, end = place
        text = self._text
        opens = start > 0 and text[start - 1].isalnum() and text[start].isalnum()
        closes = end < len(text) and text[end].isalnum() and text[end - 1].isalnum()
        return not (opens or closes)


@dataclass(frozen=True, slots=True)
class _Folded:
    """`text[i]` comes from the character at `starts[i]` of what was folded."""

    text: str
    starts: tuple[int, ...]


def _folded(text: str) -> _Folded:
    characters: list[str] = []
    starts: list[int] = []
    for at, written in enumerate(text):
        for character in unicodedata.normalize("NFKD", written.translate(_PLAIN)).casefold():
            if character.isspace():
                character = " "
                if not characters or characters[-1] == " ":
                    continue
            elif is_mark(character) or unicodedata.category(character) == "Cf":
                continue
            characters.append(character)
            starts.append(at)
    if characters and characters[-1] == " ":
        del characters[-1], starts[-1]
    return _Folded("".join(characters), tuple(starts))


def folded(text: str) -> str:
    """`text` without what distinguishes two ways to write the same: case, accents, white space, kinds of quote marks."""
    return _folded(text).text


def _places(text: str, wanted: str) -> Iterator[int]:
    at = text.find(wanted) if wanted else -1
    while at >= 0:
        yield at
        at = text.find(wanted, at + 1)
