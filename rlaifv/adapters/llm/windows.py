"""Cuts a text of any length into windows that a language model reads one at a time; together they hold every character.

A window owns whole sentences and carries some of those before them, which its model reads only to know what "it" is:

    answer    |  s1  |  s2  |  s3  |  s4  |  s5  |
    window 1  |====== owns =======|
    window 2                | lead |=== owns ====|
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

Span = tuple[int, int]
"""Start and end in code points, the end exclusive."""

_BORDER: Final = re.compile(
    r"""(?<![.!?…])[.!?…]++["'”’»)\]*_]*+\s++|(?<![。！？])[。！？]++["”’」』)]*+\s*+|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]\s*+"""
)
"""Runs are matched whole and from their first character on only, so that a megabyte of dots takes no longer than prose."""
_ABBREVIATED: Final = re.compile(
    r"(?:^|[\s(])(?:[A-Z]|mr|mrs|ms|dr|st|prof|no|vs|e\.g|i\.e|approx|fig|ca|cf|etc)\.$", re.IGNORECASE
)
_NUMBER: Final = re.compile(r"\s*\d{1,3}")
_SOFT_BORDER: Final = re.compile(r"[,;:、，；]\s*+|\s++")
_LONGEST_CLUSTER: Final = 64
"""Code points that a cut moves back at most to spare a character with its accents; more marks than that are no writing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """`text` begins at `offset` of the answer; its sentences `pieces` are owned, what is before the first of them is the lead.

    `pieces` tile the text from `own` to its end, spans relative to `text`.
    """

    text: str
    offset: int
    pieces: tuple[Span, ...]

    @property
    def own(self) -> int:
        """Where in `text` the lead ends."""
        return self.pieces[0][0]

    def halves(self, overlap_chars: int) -> tuple[Window, Window]:
        """The same sentences in two windows; there must be two or more."""
        middle = len(self.pieces) // 2
        left, right = self.pieces[:middle], self.pieces[middle:]
        lead = _lead(left, middle, overlap_chars)
        return (
            Window(text=self.text[: left[-1][1]], offset=self.offset, pieces=left),
            Window(
                text=self.text[lead:],
                offset=self.offset + lead,
                pieces=tuple((start - lead, end - lead) for start, end in right),
            ),
        )


def windows(text: str, *, window_chars: int, overlap_chars: int) -> list[Window]:
    """Windows that own at most `window_chars` each and begin up to `overlap_chars` earlier; none for an empty text.

    With `overlap_chars` over 0 the lead has at least one sentence, however long. Sentences over `window_chars` are cut at a
    comma or space, or where there is none between two characters.
    """
    pieces = [part for piece in sentences(text) for part in _parts(text, piece, window_chars)]
    cut: list[Window] = []
    begin = 0
    while begin < len(pieces):
        end = begin + 1
        while end < len(pieces) and pieces[end][1] - pieces[begin][0] <= window_chars:
            end += 1
        lead = _lead(pieces, begin, overlap_chars)
        own = tuple((start - lead, stop - lead) for start, stop in pieces[begin:end])
        cut.append(Window(text=text[lead : pieces[end - 1][1]], offset=lead, pieces=own))
        begin = end
    return cut


def sentences(text: str) -> Iterator[Span]:
    """Spans that tile `text`, each a sentence with the white space after it."""
    begin = 0
    for border in _BORDER.finditer(text):
        if border.end() > begin and not _is_inside(text, begin, border.start()):
            yield begin, border.end()
            begin = border.end()
    if begin < len(text):
        yield begin, len(text)


def _is_inside(text: str, begin: int, stop: int) -> bool:
    """Whether the stop of a sentence from `begin` is that of an abbreviation, or of the number of a list's item."""
    if text[stop] != ".":
        return False
    return bool(_ABBREVIATED.search(text[max(begin, stop - 8) : stop + 1]) or _NUMBER.fullmatch(text, begin, stop))


def _parts(text: str, piece: Span, window_chars: int) -> Iterator[Span]:
    start, end = piece
    while end - start > window_chars:
        cut = start + window_chars
        soft = [border.end() for border in _SOFT_BORDER.finditer(text, start, cut) if border.end() > start]
        cut = soft[-1] if soft else _between_characters(text, start, cut)
        yield start, cut
        start = cut
    yield start, end


def _between_characters(text: str, start: int, cut: int) -> int:
    """The last place up to `cut` where no accent, joiner or variation selector is torn from what it belongs to."""
    for place in range(cut, max(start, cut - _LONGEST_CLUSTER), -1):
        joined = text[place] == "\u200d" or text[place - 1] == "\u200d"
        if not joined and not is_mark(text[place]) and text[place - 1 : place + 1] != "\r\n":
            return place
    return cut


def is_mark(character: str) -> bool:
    """Whether it changes the character before it: accents, variation selectors, skin tones."""
    return unicodedata.category(character)[0] == "M" or "\U0001f3fb" <= character <= "\U0001f3ff"


def _lead(pieces: Sequence[Span], before: int, overlap_chars: int) -> int:
    """Where the last sentences in front of piece number `before` that fit into the overlap begin."""
    end = pieces[before - 1][1] if before else 0
    first = before
    while overlap_chars and first and (first == before or end - pieces[first - 1][0] <= overlap_chars):
        first -= 1
    return pieces[first][0] if first < before else end
