"""Yes/no questions about a scene with their true answers: as many yes as no within each type, and hard wrong ones."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from demo.world.captions import PARTNERS, USUAL_COLOURS, USUAL_COUNTS, USUAL_PLACES, noun_phrase
from demo.world.scenes import Group
from demo.world.vocabulary import COLOURS, KIND_BY_NAME, KINDS, NUMBER_WORDS, POSITION_PHRASES
from rlaifv.core.claims import ClaimType

SUFFIX = "Answer with yes or no."
_SUFFIXES = (SUFFIX,) * 17 + ("Please answer yes or no.", "Yes or no?", "")
_PARAPHRASE_SHARE = 0.08
_ABSENT_SHARE = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A yes/no question and its true answer."""

    text: str
    answer: bool
    type: ClaimType


def ask(groups: Sequence[Group], rng: random.Random, rounds: int) -> list[Question]:
    """`rounds` times two objects, two or three attributes and relations, and about one count."""
    questions: list[Question] = []
    for _ in range(rounds):
        questions += [_object(groups, True, rng), _object(groups, False, rng)]
        questions += [_attribute(groups, True, rng), _attribute(groups, False, rng)]
        questions += _relations(groups, rng)
        questions += _counts(groups, rng)
    return questions


def with_suffix(question: str, rng: random.Random) -> str:
    """The question as a labeler asks it, mostly with the usual suffix."""
    return f"{question} {rng.choice(_SUFFIXES)}".rstrip()


def _object(groups: Sequence[Group], answer: bool, rng: random.Random) -> Question:
    if answer:
        group = rng.choice(groups)
        kind, many = group.kind, (group.count > 1) != (rng.random() < 0.15)
    else:
        kind, many = _absent_kind(groups, rng), rng.random() < 0.35
    noun = KIND_BY_NAME[kind].plural if many else noun_phrase(kind, 1)
    text = f"Are there {noun}?" if many else f"Is there {noun}?"
    if rng.random() < _PARAPHRASE_SHARE:
        text = rng.choice((f"Can you see {noun}?", f"Does the picture show {noun}?", f"{text[:-1]} in the picture?"))
    return Question(text=text, answer=answer, type=ClaimType.OBJECT)


def _attribute(groups: Sequence[Group], answer: bool, rng: random.Random) -> Question:
    group = rng.choice(groups)
    kind, many, colour = group.kind, group.count > 1, group.colour
    if not answer and rng.random() < _ABSENT_SHARE:
        kind = _absent_kind(groups, rng)
    elif not answer:
        colour = _wrong_colour(group, groups, rng)
    text = f"Are the {KIND_BY_NAME[kind].plural} {colour}?" if many else f"Is the {kind} {colour}?"
    if rng.random() < _PARAPHRASE_SHARE:
        text = f"Are there {colour} {KIND_BY_NAME[kind].plural}?" if many else f"Is there a {colour} {kind}?"
    return Question(text=text, answer=answer, type=ClaimType.ATTRIBUTE)


def _relations(groups: Sequence[Group], rng: random.Random) -> list[Question]:
    """One true and one false place of a single object; none if there is none."""
    single = [group for group in groups if group.count == 1]
    if not single:
        return []
    group = rng.choice(single)
    exact = group.positions[0] if rng.random() < 0.7 else rng.choice(group.positions)
    wrong = rng.choice([name for name in POSITION_PHRASES if name not in group.positions])
    usual = USUAL_PLACES.get(group.kind, wrong)
    if usual not in group.positions and rng.random() < 0.5:
        wrong = usual
    kind = group.kind
    if rng.random() < _ABSENT_SHARE:
        kind, wrong = _absent_kind(groups, rng), rng.choice((exact, wrong))
    return [
        Question(text=f"Is the {group.kind} {POSITION_PHRASES[exact]}?", answer=True, type=ClaimType.RELATION),
        Question(text=f"Is the {kind} {POSITION_PHRASES[wrong]}?", answer=False, type=ClaimType.RELATION),
    ]


def _counts(groups: Sequence[Group], rng: random.Random) -> list[Question]:
    """One true and one false number of a kind that occurs several times; sometimes a false one without such a kind."""
    several = [group for group in groups if group.count > 1]
    if several:
        group = rng.choice(several)
        true = _count_question(group.kind, group.count, True)
        if rng.random() < 0.5:
            return [true, _count_question(group.kind, 5 - group.count, False)]
        return [true, _wrong_count(groups, rng)]
    return [_wrong_count(groups, rng)] if rng.random() < 0.15 else []


def _wrong_count(groups: Sequence[Group], rng: random.Random) -> Question:
    single = [group.kind for group in groups if group.count == 1]
    kind = rng.choice(single) if single and rng.random() < 0.65 else _absent_kind(groups, rng)
    return _count_question(kind, USUAL_COUNTS.get(kind, rng.choice((2, 2, 3))), False)


def _count_question(kind: str, count: int, answer: bool) -> Question:
    text = f"Are there {NUMBER_WORDS[count]} {KIND_BY_NAME[kind].plural}?"
    return Question(text=text, answer=answer, type=ClaimType.COUNT)


def _absent_kind(groups: Sequence[Group], rng: random.Random) -> str:
    """A kind that is not there; often one that habit would add."""
    present = {group.kind for group in groups}
    usual = [PARTNERS[kind] for kind in present if kind in PARTNERS and PARTNERS[kind] not in present]
    if usual and rng.random() < 0.6:
        return min(usual)
    return rng.choice([kind.name for kind in KINDS if kind.name not in present])


def _wrong_colour(group: Group, groups: Sequence[Group], rng: random.Random) -> str:
    """A colour the group does not have; often its usual one, or one that is elsewhere in the scene."""
    elsewhere = [other.colour for other in groups if other.colour != group.colour]
    usual = USUAL_COLOURS.get(group.kind, group.colour)
    if usual != group.colour and rng.random() < 0.5:
        return usual
    if elsewhere and rng.random() < 0.5:
        return rng.choice(elsewhere)
    return rng.choice([colour for colour in COLOURS if colour != group.colour])
