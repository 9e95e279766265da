"""Where sentences begin and end in a passage; by rule, so that it depends on nothing but the text."""

from __future__ import annotations

import re
from collections.abc import Iterator

MAX_SENTENCE = 600
"""Characters; what is longer is cut at a comma or space (never dropped), to keep parsing time linear."""

_BOUNDARY = re.compile(r"""(?:[.!?…]+["')\]]*(?=\s|$)|[。！？]+|(?<=[a-z])\.(?=[A-Z][a-z])|[;](?=\s))""")
_ABBREVIATION = re.compile(
    r"(?:\b(?:mr|mrs|ms|dr|st|prof|sr|jr|no|vs|e\.g|i\.e|approx|fig|ca|cf|ave|blvd|rd|mt|inc|co|ltd|a\.m|p\.m)|\b[A-Z])\.$",
    re.IGNORECASE,
)
_LABEL = re.compile(r"[\w' /&-]{2,48}:(?=\s)")


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Ranges of the sentences of `text`, in order, without surrounding white space; together they hold all its words."""
    label = _LABEL.match(text)
    begin = 0
    if label and len(label.group().split()) <= 5 and not _ends_like_a_lead(label.group()):
        yield from _pieces(text, 0, label.end())
        begin = label.end()
    for boundary in _BOUNDARY.finditer(text, begin):
        if boundary.start() < begin or _is_inside_a_sentence(text, boundary):
            continue
        yield from _pieces(text, begin, boundary.end())
        begin = boundary.end()
    yield from _pieces(text, begin, len(text))


def _ends_like_a_lead(label: str) -> bool:
    """ "There are two fruits:" goes with what follows, "Background:" does not."""
    return bool(
        re.search(
            r"\b(?:is|are|shows?|see|includes?|including|contains?|has|have|says?|reads?|saying|reading|words?)\b",
            label,
            re.I,
        )
    )


def _is_inside_a_sentence(text: str, boundary: re.Match[str]) -> bool:
    before = text[max(0, boundary.start() - 12) : boundary.start() + 1]
    if _ABBREVIATION.search(before):
        return True
    after = text[boundary.end() : boundary.end() + 2].strip()
    quote_closes = boundary.group()[-1] in "\"'"
    return quote_closes and after[:1].islower()


def _pieces(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while end - start > MAX_SENTENCE:
        window = text[start : start + MAX_SENTENCE]
        cut = max(window.rfind(", "), window.rfind(" ")) + 1 or MAX_SENTENCE
        yield from _trimmed(text, start, start + cut)
        start += cut
    yield from _trimmed(text, start, end)


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    if start < end:
        yield start, end
