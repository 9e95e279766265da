"""Captions of simple pictures must be divided without any error, whatever the things are called."""

from __future__ import annotations

import itertools

import pytest

from rlaifv.adapters.grammar import GrammarDecomposer

SINGULAR = (
    ["fish", "orange", "star", "clock", "rocket", "light", "car", "dog", "cat", "apple", "duck", "train", "watch", "plane", "bat", "saw", "ship", "phone", "ball", "kite", "chair", "umbrella", "bell", "key", "balloon", "cake", "guitar", "cup", "owl", "sheep", "rose", "fire", "truck"][:-2]
    + ["fire truck", "airplane"]
)  # fmt: skip
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "white", "gray", "black")
PLACES = (
    "in the top left corner", "in the top right corner", "in the bottom left corner", "in the bottom right corner",
    "at the top", "at the bottom", "on the left", "on the right", "in the middle",
)  # fmt: skip
NUMBERS = ("two", "three", "four", "five")


def a(words: str) -> str:
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


def plural(kind: str) -> str:
    if kind in ("fish", "sheep"):
        return kind
    return kind + ("es" if kind.endswith(("ch", "sh")) else "s")


def capitalized(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]


def texts(decomposer: GrammarDecomposer, answers: list[str]) -> list[set[str]]:
    return [{c.text for c in d.claims} for d in decomposer.decompose_many(answers)]


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
    "There are {things} {place}.",
    "I can see {things} {place}.",
    "{Things} are {place}.",
    "{Place} there are {things}.",
    "The picture shows {things} {place}.",
)


@pytest.mark.parametrize("template", ONE_THING)
def test_one_thing_gives_object_attribute_and_relation(decomposer: GrammarDecomposer, template: str) -> None:
    answers, expected = [], []
    for kind, colour, place in itertools.product(SINGULAR, COLOURS, PLACES):
        thing = a(f"{colour} {kind}")
        answers.append(template.format(thing=thing, Thing=capitalized(thing), place=place, Place=capitalized(place)))
        expected.append({f"There is {a(kind)}.", f"The {kind} is {colour}.", f"The {kind} is {place}."})
    wrong = [(x, y) for x, y, e in zip(answers, texts(decomposer, answers), expected, strict=True) if y != e]
    assert not wrong, f"{len(wrong)} of {len(answers)}: {wrong[:5]}"


@pytest.mark.parametrize("template", SEVERAL_THINGS)
def test_several_things_give_a_count_too(decomposer: GrammarDecomposer, template: str) -> None:
    answers, expected = [], []
    for index, (kind, colour, place) in enumerate(itertools.product(SINGULAR, COLOURS, PLACES)):
        number, kinds = NUMBERS[index % len(NUMBERS)], plural(kind)
        things = f"{number} {colour} {kinds}"
        answers.append(
            template.format(things=things, Things=capitalized(things), place=place, Place=capitalized(place))
        )
        expected.append(
            {
                f"There are {kinds}.",
                f"There are {number} {kinds}.",
                f"The {kinds} are {colour}.",
                f"The {kinds} are {place}.",
            }
        )
    wrong = [(x, y) for x, y, e in zip(answers, texts(decomposer, answers), expected, strict=True) if y != e]
    assert not wrong, f"{len(wrong)} of {len(answers)}: {wrong[:5]}"


@pytest.mark.parametrize(
    "template",
    [
        "The {kind} is {colour}.",
        "{colour} {kind}",
        "- {a_colour} {kind}",
        "There is {a_colour} {kind} in the picture.",
        "{a_colour} {kind}.",
        "Yes, there is {a_colour} {kind}.",
    ],
)
def test_a_thing_and_its_colour(decomposer: GrammarDecomposer, template: str) -> None:
    pairs = list(itertools.product(SINGULAR, COLOURS))
    answers = [template.format(kind=k, colour=c, a_colour=a(c)) for k, c in pairs]
    expected = [{f"There is {a(k)}.", f"The {k} is {c}."} for k, c in pairs]
    wrong = [(x, y) for x, y, e in zip(answers, texts(decomposer, answers), expected, strict=True) if y != e]
    assert not wrong, f"{len(wrong)} of {len(answers)}: {wrong[:5]}"


@pytest.mark.parametrize(
    "template",
    [
        "There is {one} and {other}.",
        "I can see {one} and {other}.",
        "{one} and {other} are in the picture.",
        "The picture shows {one}, and {other}.",
        "{one} and {other}",
    ],
)
def test_two_things_in_one_sentence(decomposer: GrammarDecomposer, template: str) -> None:
    kinds, answers, expected = SINGULAR, [], []
    for index, kind in enumerate(kinds):
        for shift in range(1, len(kinds)):
            other = kinds[(index + shift) % len(kinds)]
            one_colour = COLOURS[(index + shift) % len(COLOURS)]
            other_colour = COLOURS[(3 * index + 5 * shift + 1) % len(COLOURS)]
            one, another = a(f"{one_colour} {kind}"), a(f"{other_colour} {other}")
            answers.append(capitalized(template.format(one=one, other=another)))
            expected.append(
                {
                    f"There is {a(kind)}.",
                    f"The {kind} is {one_colour}.",
                    f"There is {a(other)}.",
                    f"The {other} is {other_colour}.",
                }
            )
    wrong = [(x, y) for x, y, e in zip(answers, texts(decomposer, answers), expected, strict=True) if y != e]
    assert not wrong, f"{len(wrong)} of {len(answers)}: {wrong[:5]}"


@pytest.mark.parametrize("relation", ["next to", "above", "below", "to the left of", "to the right of", "behind"])
def test_a_thing_beside_another(decomposer: GrammarDecomposer, relation: str) -> None:
    answers, expected = [], []
    for index, kind in enumerate(SINGULAR):
        for shift in range(1, len(SINGULAR), 3):
            other = SINGULAR[(index + shift) % len(SINGULAR)]
            colour = COLOURS[(index + shift) % len(COLOURS)]
            answers.append(f"{capitalized(a(kind))} is {relation} {a(f'{colour} {other}')}.")
            expected.append(
                {
                    f"There is {a(kind)}.",
                    f"There is {a(other)}.",
                    f"The {other} is {colour}.",
                    f"The {kind} is {relation} the {other}.",
                }
            )
    wrong = [(x, y) for x, y, e in zip(answers, texts(decomposer, answers), expected, strict=True) if y != e]
    assert not wrong, f"{len(wrong)} of {len(answers)}: {wrong[:5]}"
