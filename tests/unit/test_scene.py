"""The yardstick judges hand-made claims about hand-made scenes as a person would."""

from __future__ import annotations

import json

import pytest

from rlaifv.core.errors import InvalidInput
from rlaifv.core.scene import Lexicon, Scene, SceneObject, coverage, judge

LEXICON = Lexicon(
    kinds={
        form: name
        for name, plural in (("car", "cars"), ("apple", "apples"), ("butterfly", "butterflies"), ("dog", "dogs"))
        for form in (name, plural)
    },
    colours={"red": "red", "green": "green", "blue": "blue", "grey": "gray", "gray": "gray"},
    positions={
        "left": "left",
        "right": "right",
        "top": "top",
        "middle": "middle",
        "centre": "middle",
        "top left": "top left",
        "upper left": "top left",
        "top right": "top right",
    },
)
SCENE = Scene(
    objects=(
        SceneObject(kind="car", colour="red", count=1, positions=("top left", "top", "left")),
        SceneObject(kind="apple", colour="green", count=2, positions=("right",)),
        SceneObject(kind="butterfly", colour="gray", count=1, positions=("middle",)),
    ),
    lexicon=LEXICON,
)


@pytest.mark.parametrize(
    ("claim", "truth"),
    [
        ("There is a car.", True),
        ("There is a dog.", False),
        ("There are apples.", True),
        ("There are dogs.", False),
        ("The picture shows a butterfly.", True),
        ("Butterflies can be seen.", True),
        ("The car is red.", True),
        ("The car is blue.", False),
        ("The apples are green.", True),
        ("The butterfly is grey.", True),
        ("The dog is red.", False),
        ("There is a red car.", True),
        ("There is a green car.", False),
        ("There are two apples.", True),
        ("There are 2 apples.", True),
        ("There are three apples.", False),
        ("There are two cars.", False),
        ("There is one car.", True),
        ("There are two dogs.", False),
        ("The car is on the left.", True),
        ("The car is at the top.", True),
        ("The car is in the top left corner.", True),
        ("The car is in the upper left corner of the image.", True),
        ("The car is in the top right corner.", False),
        ("The car is on the right.", False),
        ("The butterfly is in the centre.", True),
        ("The apples are on the right side.", True),
        ("The dog is on the left.", False),
        ("THE CAR IS RED", True),
    ],
)
def test_plain_claims(claim: str, truth: bool) -> None:
    assert judge(claim, SCENE) is truth


@pytest.mark.parametrize(
    ("claim", "truth"),
    [
        ("There is no car.", False),
        ("There is no dog.", True),
        ("There are no dogs in the picture.", True),
        ("There isn't a dog.", True),
        ("There isn’t a dog.", True),
        ("No dogs are visible.", True),
        ("There is no blue car.", True),
        ("There is no red car.", False),
        ("There are not three apples.", True),
        ("There are not two apples.", False),
        ("The car is not red.", False),
        ("The car is not blue.", True),
        ("The car isn't on the left.", False),
        ("The car is not on the right.", True),
        ("The dog is not red.", False),
        ("The car is never not red.", True),
    ],
)
def test_negated_claims(claim: str, truth: bool) -> None:
    assert judge(claim, SCENE) is truth


@pytest.mark.parametrize(
    "claim",
    [
        "",
        "It is a lovely day.",
        "There is a zebra.",
        "The car is shiny.",
        "The car is next to the butterfly.",
        "The car is under a tree.",
        "The scarlet is red.",
    ],
)
def test_what_the_scene_cannot_tell(claim: str) -> None:
    assert judge(claim, SCENE) is None


def test_a_claim_that_needs_an_absent_object_is_false_whatever_else_it_says() -> None:
    assert judge("The car is next to the dog.", SCENE) is False
    assert judge("The dog is shiny.", SCENE) is False


@pytest.mark.parametrize(
    ("answer", "share"),
    [
        ("", 0.0),
        ("There is a car.", 1 / 3),
        ("There is a car. There are apples and a butterfly.", 1.0),
        ("Two apples, a car!", 2 / 3),
        ("There is no car. There is an apple.", 1 / 3),
        ("A dog and a zebra.", 0.0),
        ("The carpet is red.", 0.0),
    ],
)
def test_coverage(answer: str, share: float) -> None:
    assert coverage(answer, SCENE) == pytest.approx(share)


def test_coverage_of_an_empty_scene_is_an_error() -> None:
    with pytest.raises(InvalidInput):
        coverage("There is a car.", Scene(objects=(), lexicon=LEXICON))


def test_json_round_trip() -> None:
    assert Scene.from_dict(json.loads(json.dumps(SCENE.to_dict()))) == SCENE


@pytest.mark.parametrize(
    "damage",
    [
        {"lexicon": None},
        {"objects": [{"kind": "car"}]},
        {"objects": [{"kind": "car", "colour": "red", "count": 0, "positions": []}]},
        {"objects": [{"kind": "car", "colour": "red", "count": 1, "positions": []}] * 2},
    ],
)
def test_damaged_annotations_are_refused(damage: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        Scene.from_dict({**SCENE.to_dict(), **damage})
