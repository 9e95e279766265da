"""Whether a question checks its claim: one question, answered by yes exactly when the claim holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from rlaifv.core.decomposition import LeftOutReason

REMEDIES: Final[Mapping[LeftOutReason, str]] = {
    LeftOutReason.QUOTE_NOT_FOUND: 'its "quote" is not in "text": copy the words exactly and without a gap',
    LeftOutReason.NOT_ONE_QUESTION: (
        'its "question" must be one question that begins with a verb such as "Is", "Are" or "Does", ends with a question mark, '
        "offers no choice and is answered by yes or no"
    ),
    LeftOutReason.SHARED_QUESTION: 'another claim has the same "question": ask about this claim alone',
    LeftOutReason.DENIES_OTHERWISE: (
        'claim and question must deny the same: ask a denial as "Is it true that there is no ...?", anything else without one'
    ),
    LeftOutReason.INCOMPLETE: 'it must have "quote", "text", "question" and one of the types listed, none of them empty',
}
"""What the model is told about a claim that broke a rule."""

_OPENING: Final = re.compile(
    r"(?:is|are|was|were|am|do|does|did|has|have|had|can|could|will|would|should|shall|may|might|must)(?:n['’]t)?\b",
    re.IGNORECASE,
)
_DENIAL: Final = re.compile(
    r"\b(?:no|not|never|none|nobody|nothing|nowhere|neither|nor|cannot)\b|n['’]t\b", re.IGNORECASE
)
_DENIED_QUESTION: Final = re.compile(r"is it true that\b", re.IGNORECASE)
_CHOICE: Final = re.compile(r"\bor\b", re.IGNORECASE)
_SECOND: Final = re.compile(r"(?:\band|,)\s+(?:is|are|was|were|do|does|did|has|have|can)\b", re.IGNORECASE)
_WRITING: Final = re.compile(r"""\"[^"]*"|“[^”]*”|‘[^’]*’|«[^»]*»|(?<!\w)'[^']*'(?!\w)""")


def fault(text: str, question: str) -> LeftOutReason | None:
    """The rule that `question` breaks as the check of the claim `text`; None if it breaks none.

    Quoted writing ("NO PARKING?") counts neither as a denial nor as a question.
    """
    claim, asked = _WRITING.sub('""', text), _WRITING.sub('""', question)
    if asked.count("?") != 1 or not asked.endswith("?") or not _OPENING.match(asked):
        return LeftOutReason.NOT_ONE_QUESTION
    if any(pattern.search(asked) and not pattern.search(claim) for pattern in (_CHOICE, _SECOND)):
        return LeftOutReason.NOT_ONE_QUESTION
    denied = bool(_DENIAL.search(claim))
    if denied != bool(_DENIAL.search(asked)) or (denied and not _DENIED_QUESTION.match(asked)):
        return LeftOutReason.DENIES_OTHERWISE
    return None
