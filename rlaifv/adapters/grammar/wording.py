"""From propositions to claims: the one sentence and the one question for each.

A denied claim is asked as "Is it true that there is no car?": yes to it can only mean that the claim holds, whereas
yes to "Is there no car?" is understood both ways, by people and by models.
"""

from __future__ import annotations

from rlaifv.adapters.grammar.inflection import article, third_person
from rlaifv.adapters.grammar.propositions import Form, Mention, Proposition
from rlaifv.core.claims import ClaimType


def existence(mention: Mention, quantity: str, negated: bool) -> tuple[str, str]:
    """ "There are two dogs." and its question; `quantity` may be empty."""
    plural = mention.plural and quantity not in ("one", "1")
    be = "are" if plural else "is"
    if negated:
        return f"There {be} no {mention.noun}.", f"Is it true that there {be} no {mention.noun}?"
    if quantity:
        noun = f"{quantity} {mention.noun}"
    elif plural or mention.mass or mention.proper:
        noun = mention.noun
    else:
        noun = f"{article(mention.noun)} {mention.noun}"
    return f"There {be} {noun}.", f"{be.capitalize()} there {noun}?"


def predication(proposition: Proposition, subject: str, plural: bool, rest: str) -> tuple[str, str]:
    """ "The car is red." or "The sign says 'STOP'." and its question; `subject` starts in lower case."""
    if proposition.form is Form.BE:
        be = "are" if plural else "is"
        statement = f"{subject} {be} {'not ' if proposition.negated else ''}{rest}"
        question = f"{be} {subject} {rest}"
    else:
        do = "do" if plural else "does"
        verb = proposition.verb if plural else third_person(proposition.verb)
        denied = f"{subject} {do} not {proposition.verb} {rest}"
        statement = denied if proposition.negated else f"{subject} {verb} {rest}"
        question = f"{do} {subject} {proposition.verb} {rest}"
    if proposition.negated:
        question = f"is it true that {statement}"
    return f"{_capitalized(statement)}.", f"{_capitalized(question)}?"


def definite(mention: Mention, owner: str) -> str:
    """ "the dog", "one of the dogs", a name as it is; with an owner ("the man's", "his") that stands before the noun."""
    if mention.fixed:
        return mention.fixed
    if owner:
        return f"{owner} {mention.noun}"
    return mention.noun if mention.proper else f"the {mention.noun}"


def possessive(owner: str) -> str:
    """ "the man's", "the dogs'"."""
    return f"{owner}'" if owner.endswith("s") and not owner.endswith("ss") else f"{owner}'s"


def _capitalized(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]


def is_existence(proposition: Proposition) -> bool:
    """Whether it is an object claim, as opposed to a count."""
    return proposition.form is Form.EXISTS and proposition.type is ClaimType.OBJECT
