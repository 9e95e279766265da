"""A decomposer that takes every sentence for one claim."""

from __future__ import annotations

import re
from typing import Final

from rlaifv.core.claims import Claim, ClaimType
from rlaifv.core.decomposition import Decomposition, SkippedText, SkipReason

VERSION: Final = "fake-sentences/1"

_SENTENCE: Final = re.compile(r"\S[^.!?\n]*[.!?]?")


def divide(answer: str) -> Decomposition:
    """A claim for each sentence, each once; sentences without a letter are skipped."""
    claims: dict[str, Claim] = {}
    skipped: list[SkippedText] = []
    duplicates = 0
    for match in _SENTENCE.finditer(answer):
        text = match.group().strip()
        if not any(character.isalpha() for character in text):
            skipped.append(SkippedText(start=match.start(), end=match.end(), reason=SkipReason.NO_CONTENT))
        elif text in claims:
            duplicates += 1
        else:
            claims[text] = Claim(
                text=text,
                type=_type(text),
                question=_question(text),
                start=match.start(),
                end=match.start() + len(text),
            )
    return Decomposition(claims=tuple(claims.values()), skipped=tuple(skipped), duplicates=duplicates, version=VERSION)


def _type(text: str) -> ClaimType:
    return ClaimType.OBJECT if text.startswith("There ") else ClaimType.OTHER


def _question(text: str) -> str:
    return f"Is it true that {text[0].lower()}{text[1:].rstrip('.!?')}?"
