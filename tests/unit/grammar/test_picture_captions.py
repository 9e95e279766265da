"""Captions of simple pictures must be divided without any error, whatever the things are called."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import pytest

from rlaifv.adapters.grammar import GrammarDecomposer

# Names that a tagger likes to take for verbs or adjectives come first.
KINDS = tuple(
    [
        "fish",
        "orange",
        "star",
        "clock",
        "rocket",
        "light",
        "duck",
        "train",
        "watch",
        "plane",
        "bat",
        "saw",
        "ship",
        "phone",
        "ball",
        "kite",
        "chair",
        "bell",
        "key",
        "car",
        "dog",
        "cat",
        "apple",
        "umbrella",
        "balloon",
        "cake",
        "guitar",
        "cup",
        "owl",
        "sheep",
        "fire truck",
        "airplane",
    ]
)
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "white", "gray", "black")
PLACES = (
    "in the top left corner",
    "in the top right corner",
    "in the bottom left corner",
    "in the bottom right corner",
    "at the top",
    "at the bottom",
    "on the left",
    "on the right",
    "in the middle",
)
NUMBERS = ("two", "three", "four", "five")
ONE_THING = (
    "There is {thing} {place}.",
    "I can see {thing} {place}.",
    "{Thing} is {place}.",
    "The picture shows {thing} {place}.",
    "We see {thing} {place} of the picture.",
    "{Place}, there is {thing}.",
    "In this image, {thing} is {place}.",
)
SEVERAL_THINGS = (
    "There are {thing} {place}.",
    "I can see {thing} {place}.",
    "{Thing} are {place}.",
    "{Place} there are {thing}.",
    "The picture shows {thing} {place}.",
)
ONLY_COLOURED = (
    "The {kind} is {colour}.",
    "{colour} {kind}",
    "- {thing}",
    "There is {thing} in the picture.",
    "{Thing}.",
    "Yes, there is {thing}.",
)
TWO_THINGS = (
    "There is {one} and {other}.",
    "I can see {one} and {other}.",
    "{One} and {other} are in the picture.",
    "The picture shows {one}, and {other}.",
    "{one} and {other}",
)
RELATIONS = ("next to", "above", "below", "to the left of", "to the right of", "behind")

Case = tuple[str, set[str]]


def a(words: str) -> str:
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


def plural(kind: str) -> str:
    if kind in ("fish", "sheep"):
        return kind
    return kind + ("es" if kind.endswith("ch") else "s")


def capitalized(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]


def caption(template: str, thing: str, place: str) -> str:
    return template.format(thing=thing, Thing=capitalized(thing), place=place, Place=capitalized(place))


def one_thing() -> Iterator[Case]:
    for index, (kind, colour, place) in enumerate(itertools.product(KINDS, COLOURS, PLACES)):
        template = ONE_THING[index % len(ONE_THING)]
        expected = {f"There is {a(kind)}.", f"The {kind} is {colour}.", f"The {kind} is {place}."}
        yield caption(template, a(f"{colour} {kind}"), place), expected


def several_things() -> Iterator[Case]:
    for index, (kind, colour, place) in enumerate(itertools.product(KINDS, COLOURS, PLACES)):
        template, number, kinds = SEVERAL_THINGS[index % len(SEVERAL_THINGS)], NUMBERS[index % 4], plural(kind)
        expected = {
            f"There are {kinds}.",
            f"There are {number} {kinds}.",
            f"The {kinds} are {colour}.",
            f"The {kinds} are {place}.",
        }
        yield caption(template, f"{number} {colour} {kinds}", place), expected


def only_coloured() -> Iterator[Case]:
    for template, kind, colour in itertools.product(ONLY_COLOURED, KINDS, COLOURS):
        thing = a(f"{colour} {kind}")
        answer = template.format(kind=kind, colour=colour, thing=thing, Thing=capitalized(thing))
        yield answer, {f"There is {a(kind)}.", f"The {kind} is {colour}."}


def two_things() -> Iterator[Case]:
    for index, (kind, other) in enumerate(itertools.permutations(KINDS, 2)):
        colour, another = COLOURS[index % 11], COLOURS[(3 * index + 1) % 11]
        one, second = a(f"{colour} {kind}"), a(f"{another} {other}")
        answer = TWO_THINGS[index % len(TWO_THINGS)].format(one=one, other=second, One=capitalized(one))
        yield (
            answer,
            {f"There is {a(kind)}.", f"The {kind} is {colour}.", f"There is {a(other)}.", f"The {other} is {another}."},
        )


def side_by_side() -> Iterator[Case]:
    for index, (kind, other) in enumerate(itertools.permutations(KINDS, 2)):
        relation, colour = RELATIONS[index % len(RELATIONS)], COLOURS[index % 11]
        answer = f"{capitalized(a(kind))} is {relation} {a(f'{colour} {other}')}."
        yield (
            answer,
            {
                f"There is {a(kind)}.",
                f"There is {a(other)}.",
                f"The {other} is {colour}.",
                f"The {kind} is {relation} the {other}.",
            },
        )


@pytest.mark.parametrize("cases", [one_thing, several_things, only_coloured, two_things, side_by_side])
def test_captions_are_divided_without_error(decomposer: GrammarDecomposer, cases: type[Iterator[Case]]) -> None:
    expected = list(cases())
    wrong = _wrong(decomposer, expected)
    assert not wrong, f"{len(wrong)} of {len(expected)}: {wrong[:5]}"


def test_a_caption_of_several_sentences(decomposer: GrammarDecomposer) -> None:
    answer = (
        "There is a red car on the left. I can see two green apples. A blue dog is in the top right corner. "
        "The picture shows a yellow star in the middle."
    )
    found = decomposer.decompose(answer)
    assert [(c.text, c.question, answer[c.start : c.end]) for c in found.claims] == [
        ("There is a car.", "Is there a car?", "a red car"),
        ("The car is on the left.", "Is the car on the left?", "a red car on the left"),
        ("The car is red.", "Is the car red?", "red car"),
        ("There are apples.", "Are there apples?", "two green apples"),
        ("There are two apples.", "Are there two apples?", "two green apples"),
        ("The apples are green.", "Are the apples green?", "green apples"),
        ("There is a dog.", "Is there a dog?", "A blue dog"),
        (
            "The dog is in the top right corner.",
            "Is the dog in the top right corner?",
            "A blue dog is in the top right corner",
        ),
        ("The dog is blue.", "Is the dog blue?", "blue dog"),
        ("There is a star.", "Is there a star?", "a yellow star"),
        ("The star is in the middle.", "Is the star in the middle?", "a yellow star in the middle"),
        ("The star is yellow.", "Is the star yellow?", "yellow star"),
    ]
    assert found.duplicates == 0
    assert found.skipped == ()


def _wrong(decomposer: GrammarDecomposer, cases: Sequence[Case]) -> list[tuple[str, set[str]]]:
    found = decomposer.decompose_many([answer for answer, _ in cases])
    texts = [{c.text for c in d.claims} for d in found]
    return [(answer, got) for (answer, expected), got in zip(cases, texts, strict=True) if got != expected]
