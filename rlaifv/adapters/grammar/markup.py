"""From an answer as written to passages of plain prose that remember where every character came from.

Markdown, HTML, chat-template tokens, emoji and typographic quotes go; words stay. Knows nothing of grammar.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

_LINE = re.compile(r"[^\n\r\v\f\x1c-\x1e\x85\u2028\u2029]*(?:\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]|\Z)")
_FENCE = re.compile(r"\s*(?:```+|~~~+)\s*([\w+#.-]*)\s*$")
_RULE = re.compile(r"\s*(?:[-*_=]\s*){3,}$|\s*\|?(?:\s*:?-{2,}:?\s*\|)+(?:\s*:?-{2,}:?\s*)?$")
_HEADING = re.compile(r"\s{0,3}#{1,6}(?=\s)")
_BULLET = re.compile(r"\s*(?:>\s*)*(?:[-*+•–—·▪●◦‣∙○■□➤►✓✔✅]|\(?(?:\d{1,3}|[a-zA-Z])[.)])(?=\s)")
_QUOTED = re.compile(r"\s*(?:>\s?)+")
_PROSE_FENCES = frozenset(["", "text", "txt", "markdown", "md", "plaintext", "plain"])

_INLINE = re.compile(
    r"(?P<drop><\|[^|<>\n]{1,40}\|>|</?(?:s|image|img|video|audio|pad|unk|bos|eos|mask|im_patch|im_start|im_end)>"
    r"|\[/?INST\]|<</?SYS>>|<start_of_turn>|<end_of_turn>|<!--.{0,500}?-->|</?[a-zA-Z][a-zA-Z0-9]{0,14}(?:\s[^<>\n]{0,300})?/?>"
    r"|\]\([^()\s]{0,500}\)|!?\[(?=[^\[\]\n]{0,300}\]\()|https?://[^\s<>()]{1,500}"
    r"|\*+|`+|~~|\\(?=[*_`#\[\]])|(?<!\w)_+(?=\w)|(?<=[\w.,!?])_+(?!\w))"
    r"|(?P<entity>&(?:[a-zA-Z][a-zA-Z0-9]{1,30}|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});)"
)
_ROLE = re.compile(r"\s*(?:USER|ASSISTANT|Assistant|User|Human|System|SYSTEM|Answer|Caption|Description)\s*:(?=\s|$)")
_DOUBLE_QUOTES = frozenset("“”„‟«»″＂")
_SINGLE_QUOTES = frozenset("‘’‚‛′`´ʼ＇")
_OPEN_ENDED = re.compile(r"[^.!?:;。！？…|]\s*$")


@dataclass(frozen=True, slots=True)
class Passage:
    """A paragraph, list item, heading or table cell.

    `text[i]` was written at `answer[starts[i]:ends[i]]`, so `text[i:j]` came from `answer[starts[i]:ends[j - 1]]`.
    """

    text: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]

    def origin(self, start: int, end: int) -> tuple[int, int]:
        """Where the non-empty `text[start:end]` is in the answer."""
        return self.starts[start], self.ends[end - 1]


class _Builder:
    """Collects characters with their origins; runs of white space become one space, none at either end."""

    def __init__(self) -> None:
        self._chars: list[tuple[str, int, int]] = []

    def add(self, char: str, start: int, end: int) -> None:
        if char == " " and (not self._chars or self._chars[-1][0] == " "):
            return
        self._chars.append((char, start, end))

    def ends_open(self) -> bool:
        return bool(self._chars) and bool(_OPEN_ENDED.search("".join(c for c, _, _ in self._chars[-3:])))

    def finish(self) -> Iterator[Passage]:
        """The passage collected so far, if any, and a fresh start."""
        while self._chars and self._chars[-1][0] == " ":
            self._chars.pop()
        if self._chars:
            text, starts, ends = zip(*self._chars, strict=True)
            yield Passage("".join(text), starts, ends)
        self._chars = []


def passages(answer: str) -> Iterator[Passage]:
    """The prose of `answer` in reading order; lines of one paragraph are joined, blocks are kept apart."""
    builder = _Builder()
    code_ends = 0
    for line in _LINE.finditer(answer):
        start, end = line.span()
        if start < code_ends:
            continue
        content = line.group().rstrip("\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029")
        fence = _FENCE.match(content)
        if fence:
            yield from builder.finish()
            code_ends = _end_of_code(answer, end, fence.group(1).lower())
            continue
        yield from _line(answer, start, start + len(content), builder)
    yield from builder.finish()


def _end_of_code(answer: str, start: int, language: str) -> int:
    """Where a fenced block that opened before `start` closes; 0 if its lines are prose or it never closes."""
    if language in _PROSE_FENCES:
        return 0
    closing = re.compile(r"^[ \t]*(?:```+|~~~+)[ \t]*\r?$", re.MULTILINE).search(answer, start)
    return closing.end() if closing else 0


def _line(answer: str, start: int, end: int, builder: _Builder) -> Iterator[Passage]:
    content = answer[start:end]
    if not content.strip() or _RULE.match(content):
        yield from builder.finish()
        return
    if content.count("|") - content.count("<|") - content.count("|>") >= 2:
        yield from builder.finish()
        yield from _cells(answer, start, end, builder)
        return
    marker = _HEADING.match(content) or _BULLET.match(content)
    quoted = marker or _QUOTED.match(content) or _ROLE.match(content)
    body = start + (quoted.end() if quoted else 0)
    first = next((c for c in answer[body:end] if c.isalnum()), "")
    if marker or not builder.ends_open() or not first.islower():
        yield from builder.finish()
    builder.add(" ", start, start + 1)
    _inline(answer, body, end, builder)
    builder.add(" ", end - 1, end)
    if content.lstrip().startswith("#"):
        yield from builder.finish()


def _cells(answer: str, start: int, end: int, builder: _Builder) -> Iterator[Passage]:
    for cell in re.finditer(r"[^|]+", answer[start:end]):
        _inline(answer, start + cell.start(), start + cell.end(), builder)
        yield from builder.finish()


def _inline(answer: str, start: int, end: int, builder: _Builder) -> None:
    position = start
    for found in _INLINE.finditer(answer, start, end):
        _plain(answer, position, found.start(), builder)
        if found.group("entity"):
            for char in html.unescape(found.group()):
                builder.add(_plain_char(char), *found.span())
        elif found.group()[0] == "<":
            builder.add(" ", *found.span())
        position = found.end()
    _plain(answer, position, end, builder)


def _plain(answer: str, start: int, end: int, builder: _Builder) -> None:
    for index in range(start, end):
        char = _plain_char(answer[index])
        if char:
            builder.add(char, index, index + 1)


def _plain_char(char: str) -> str:
    """What the grammar sees in place of one written character; "" if it should not see it at all."""
    if char.isascii() and char.isprintable():
        return char
    if char in _DOUBLE_QUOTES:
        return '"'
    if char in _SINGLE_QUOTES:
        return "'"
    category = unicodedata.category(char)
    if category in ("Cf", "Mn", "Me") and char not in "\u0300\u0301\u0302\u0303\u0308\u0327":
        return ""
    if category[0] in "ZC" or category in ("So", "Sk"):
        return " "
    return char
