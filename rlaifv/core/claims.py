"""Atomic claims: what an answer asserts about its image, one checkable statement each (RLAIF-V, sec. 3.2, "divide")."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum


class ClaimType(StrEnum):
    """What kind of thing a claim asserts."""

    OBJECT = "object"
    """Something exists: "There is a car."."""
    ATTRIBUTE = "attribute"
    """A property: "The car is red."."""
    COUNT = "count"
    """How many: "There are two dogs."."""
    RELATION = "relation"
    """Where, or with respect to what: "The car is on the left.", "The cup is on the table."."""
    ACTION = "action"
    """What something does: "The man is riding a horse."."""
    TEXT = "text"
    """Visible writing: "The sign says 'STOP'."."""
    OTHER = "other"
    """Checkable, but none of the above."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One atomic statement of an answer and the yes/no question that checks it.

    `start` and `end` are character offsets into the answer (`answer[start:end]` is the wording the claim came from,
    end exclusive, Unicode code points, not bytes).
    """

    text: str
    type: ClaimType
    question: str
    start: int
    end: int

    def id(self, answer_id: str) -> str:
        """Content hash of the claim within its answer: the same claim always gets the same id (16 hex digits)."""
        return content_id("claim", answer_id, str(self.start), str(self.end), self.text)


def content_id(*parts: str) -> str:
    """First 16 hex digits of SHA-256 over the length-prefixed parts; ("ab", "c") and ("a", "bc") differ."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(8, "big"))
        digest.update(raw)
    return digest.hexdigest()[:16]
