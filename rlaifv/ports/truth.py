"""Ground truth, for evaluation only: no labeler, decomposer or trainer may see it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rlaifv.core.claims import Claim


class Truth(Protocol):
    """What is really in one image."""

    def judge(self, claim: Claim) -> bool | None:
        """Whether the claim is true; None if the annotation cannot tell."""
        ...

    def coverage(self, answer: str) -> float:
        """Share of the objects in the image that the answer names, 0 to 1."""
        ...

    def questions(self) -> Sequence[tuple[str, bool]]:
        """Yes/no questions about the image with their right answers, for the policy's yes/no accuracy."""
        ...
