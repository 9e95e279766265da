"""What a sentence asserts, before its pronouns are known: the step between reading and wording."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from rlaifv.core.claims import ClaimType
from rlaifv.core.decomposition import SkipReason


@dataclass(frozen=True, slots=True)
class Pronoun:
    """A lower-case pronoun and its offset in the sentence."""

    text: str
    at: int


@dataclass(frozen=True, slots=True)
class Mention:
    """A noun phrase: `noun` is its name without article and properties ("traffic light", "slice of pizza").

    `fixed` is the definite phrase where "the <noun>" would be wrong ("one of the dogs"); `prominent` mentions are what
    the sentence is about, the first candidates for a pronoun.
    """

    noun: str
    head: str
    plural: bool = False
    mass: bool = False
    proper: bool = False
    possessor: Reference | None = None
    owner: str = ""
    fixed: str = ""
    prominent: bool = False
    absent: bool = False
    at: int = 0


Reference = int | Pronoun
"""A mention by its number within the sentence, or a pronoun still to be resolved."""


class Form(StrEnum):
    """The sentence frame of a claim."""

    EXISTS = "exists"
    """There is a car."""
    BE = "be"
    """The car is red."""
    DO = "do"
    """The sign says 'STOP'."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposition:
    """One claim to be worded: `rest` follows "is" (BE) or the verb (DO), or stands before the noun (EXISTS: a count).

    `start` and `end` are offsets into the sentence. An `implied` existence was not said in so many words ("the car is
    red"); it is no duplicate when the thing is known already.
    """

    type: ClaimType
    form: Form
    subject: Reference
    start: int
    end: int
    verb: str = ""
    rest: tuple[str | Reference, ...] = ()
    negated: bool = False
    implied: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything one sentence says; `reason` matters only where it says nothing checkable."""

    mentions: tuple[Mention, ...]
    propositions: tuple[Proposition, ...]
    reason: SkipReason


def nothing(reason: SkipReason) -> Reading:
    """The reading of a sentence that asserts nothing to check."""
    return Reading((), (), reason)


def shifted(proposition: Proposition, offset: int) -> Proposition:
    """The same, `offset` characters later."""
    return replace(proposition, start=proposition.start + offset, end=proposition.end + offset)
