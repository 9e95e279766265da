"""Ways in which a fake labeler can go wrong on request."""

from __future__ import annotations

from enum import StrEnum


class FakeBehaviour(StrEnum):
    """How a fake labeler behaves."""

    ANSWERS = "answers"
    """As it should."""
    NEITHER = "neither"
    """It says something else than yes or no: hardly any mass on either."""
    DOWN = "down"
    """Its backend is dead."""
    BROKEN = "broken"
    """It fails with an error that nobody foresaw."""
