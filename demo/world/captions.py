"""What the demo model learns to say of a scene, with habits that are stronger than its eyes.

A real multimodal model often says what is usual although it can see better. This world's captions are made that way on
purpose: the demo model is trained on true answers to yes/no questions but on captions with these systematic faults, and
the loop has to find and undo them without being told.

1. Usual colours: a banana is called yellow, whatever its colour, in `HABIT_SHARE` of its captions (`USUAL_COLOURS`).
2. Usual company: next to a dog another object is called a ball in `HABIT_SHARE` of the captions (`PARTNERS`).
3. Usual numbers and places: shoes come in twos, airplanes are at the top (`USUAL_COUNTS`, `USUAL_PLACES`).
4. Slips: any colour, number or place is wrong in `SLIP_SHARE` of its mentions.

Faults replace a word and never add or drop a statement: an answer does not become truer by saying less.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from demo.world.scenes import Group
from demo.world.vocabulary import COLOURS, KIND_BY_NAME, NUMBER_WORDS, POSITION_PHRASES

HABIT_SHARE = 0.75
SLIP_SHARE = 0.03
USUAL_COLOURS = {"apple": "red", "banana": "yellow", "star": "yellow", "tree": "green"}
PARTNERS = {"dog": "ball", "guitar": "drum"}
USUAL_COUNTS = {"shoe": 2, "balloon": 3}
USUAL_PLACES = {"airplane": "top", "rocket": "top"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How captions answer one prompt."""

    openings: tuple[str, str]
    """Of a sentence about one object: the usual one, and a variant."""
    plural_openings: tuple[str, str]
    colour_of_one: bool
    colour_of_many: bool
    every_place: bool
    """State the place of every single object, not only of one that comes first."""
    no_place: bool = False
    subject_first: bool = False
    """"A red car is on the left." instead of "There is a red car on the left."."""


_THERE = (("There is", "There is"), ("There are", "There are"))
_VARIANT_SHARE = 0.25

STYLES: dict[str, Style] = {
    "Describe the image.": Style(
        openings=_THERE[0], plural_openings=_THERE[1], colour_of_one=True, colour_of_many=True, every_place=False
    ),
    "What do you see in this picture?": Style(
        openings=("I can see", "I see"),
        plural_openings=("I can see", "I see"),
        colour_of_one=True,
        colour_of_many=False,
        every_place=False,
        no_place=True,
    ),
    "What is in the picture, and where?": Style(
        openings=_THERE[0], plural_openings=_THERE[1], colour_of_one=False, colour_of_many=True, every_place=True
    ),
    "Tell me what this photo shows.": Style(
        openings=("The picture shows", "The image shows"),
        plural_openings=("The picture shows", "The image shows"),
        colour_of_one=True,
        colour_of_many=True,
        every_place=False,
    ),
    "Write a short description of this image.": Style(
        openings=_THERE[0],
        plural_openings=_THERE[1],
        colour_of_one=True,
        colour_of_many=True,
        every_place=False,
        subject_first=True,
    ),
}
PROMPTS = tuple(STYLES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """What a caption holds to be so of one group; not always what the scene shows."""

    kind: str
    colour: str
    count: int
    position: str | None
    """The most exact position name; None for several objects."""


def true_mentions(groups: Sequence[Group]) -> list[Mention]:
    """The groups as they are, in reading order."""
    return [
        Mention(
            kind=group.kind,
            colour=group.colour,
            count=group.count,
            position=group.positions[0] if group.count == 1 else None,
        )
        for group in groups
    ]


def noisy_mentions(groups: Sequence[Group], rng: random.Random) -> list[Mention]:
    """The groups as a speaker of habit would have them."""
    mentions = [_with_slips(_with_habits(mention, rng), rng) for mention in true_mentions(groups)]
    return _with_company(mentions, rng)


def caption(mentions: Sequence[Mention], prompt: str, rng: random.Random) -> str:
    """One sentence per mention, in the style that answers `prompt` (one of `PROMPTS`)."""
    style = STYLES[prompt]
    return " ".join(_sentence(mention, style, first=not index, rng=rng) for index, mention in enumerate(mentions))


def _with_habits(mention: Mention, rng: random.Random) -> Mention:
    if rng.random() >= HABIT_SHARE:
        return mention
    if mention.kind in USUAL_COUNTS:
        return replace(mention, count=USUAL_COUNTS[mention.kind], position=None)
    if mention.kind in USUAL_PLACES and mention.position:
        return replace(mention, position=USUAL_PLACES[mention.kind])
    return replace(mention, colour=USUAL_COLOURS.get(mention.kind, mention.colour))


def _with_slips(mention: Mention, rng: random.Random) -> Mention:
    if rng.random() < SLIP_SHARE:
        mention = replace(mention, colour=rng.choice(list(COLOURS)))
    if mention.count > 1 and rng.random() < SLIP_SHARE:
        mention = replace(mention, count=5 - mention.count)
    if mention.position and rng.random() < SLIP_SHARE:
        mention = replace(mention, position=rng.choice(list(POSITION_PHRASES)))
    return mention


def _with_company(mentions: list[Mention], rng: random.Random) -> list[Mention]:
    """The mention after a kind with a partner (before it, if it is the last) becomes that partner."""
    kinds = {mention.kind for mention in mentions}
    for index, mention in enumerate(mentions):
        partner = PARTNERS.get(mention.kind)
        if partner and partner not in kinds and rng.random() < HABIT_SHARE:
            other = index + 1 if index + 1 < len(mentions) else index - 1
            return [replace(m, kind=partner) if i == other else m for i, m in enumerate(mentions)]
    return mentions


def _sentence(mention: Mention, style: Style, *, first: bool, rng: random.Random) -> str:
    one = mention.count == 1
    variant = rng.random() < _VARIANT_SHARE
    stated = style.colour_of_one if one else style.colour_of_many
    what = noun_phrase(mention.kind, mention.count, mention.colour if stated else None)
    placed = one and not style.no_place and (first or style.every_place)
    place = POSITION_PHRASES[mention.position] if placed and mention.position else ""
    if place and style.subject_first:
        return f"{what[0].upper()}{what[1:]} is {place}."
    opening = (style.openings if one else style.plural_openings)[variant]
    return f"{opening} {what} {place}".rstrip() + "."


def noun_phrase(kind: str, count: int, colour: str | None = None) -> str:
    """ "a red car", "an apple", "two green apples"."""
    noun = kind if count == 1 else KIND_BY_NAME[kind].plural
    described = f"{colour} {noun}" if colour else noun
    if count > 1:
        return f"{NUMBER_WORDS[count]} {described}"
    return f"{'an' if described[0] in 'aeiou' else 'a'} {described}"
