"""A signal is any judgement of an answer: its source, its scope and its value. Claim trust is the first of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

CLAIM_TRUST = "claim.trust"
"""RLAIF-V's signal: minus the number (or share) of rejected claims."""


class SignalScope(StrEnum):
    """What a signal speaks about."""

    RESPONSE = "response"
    SPAN = "span"
    PAIR = "pair"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One judgement. `value` is higher for better; `confidence` is 0 to 1; `start`/`end` only where the scope is a span."""

    name: str
    scope: SignalScope
    value: float
    confidence: float = 1.0
    provider: str = ""
    version: str = ""
    start: int | None = None
    end: int | None = None
