"""Captions and questions say what they should, judged by the yardstick that evaluation uses."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from demo.world import captions
from demo.world.captions import PROMPTS, Mention, caption, noisy_mentions, noun_phrase, true_mentions
from demo.world.questions import ask
from demo.world.scenes import Group, sample_scene
from rlaifv.core.scene import coverage, judge


def _sentences(text: str) -> list[str]:
    return [part for part in text.split(". ") if part]


def test_true_captions_are_true_and_complete() -> None:
    rng = random.Random(0)
    for seed in range(200):
        scene = sample_scene(seed)
        said = caption(true_mentions(scene.groups()), PROMPTS[seed % len(PROMPTS)], rng)
        truth = scene.annotation()
        assert [judge(sentence, truth) for sentence in _sentences(said)] == [True] * len(truth.objects), said
        assert coverage(said, truth) == 1.0


def test_faults_replace_and_never_add_or_drop_a_sentence() -> None:
    rng = random.Random(0)
    for seed in range(200):
        groups = sample_scene(seed).groups()
        assert len(noisy_mentions(groups, rng)) == len(groups)


def test_habits_have_the_stated_share() -> None:
    rng = random.Random(0)
    groups = (Group(kind="banana", colour="blue", cells=(4,)), Group(kind="car", colour="red", cells=(0,)))
    said = Counter(noisy_mentions(groups, rng)[0].colour for _ in range(2000))
    assert said["yellow"] / 2000 == pytest.approx(captions.HABIT_SHARE, abs=0.04)
    assert said["blue"] / 2000 == pytest.approx(1 - captions.HABIT_SHARE, abs=0.04)


def test_a_kind_with_a_partner_renames_its_neighbour() -> None:
    rng = random.Random(0)
    groups = (Group(kind="car", colour="red", cells=(0,)), Group(kind="dog", colour="pink", cells=(4,)))
    kinds = Counter(noisy_mentions(groups, rng)[0].kind for _ in range(2000))
    assert set(kinds) == {"car", "ball"}
    assert kinds["ball"] / 2000 == pytest.approx(captions.HABIT_SHARE, abs=0.04)


@pytest.mark.parametrize(
    ("kind", "count", "colour", "phrase"),
    [
        ("car", 1, "red", "a red car"),
        ("apple", 1, None, "an apple"),
        ("apple", 2, "green", "two green apples"),
        ("butterfly", 3, None, "three butterflies"),
    ],
)
def test_noun_phrases(kind: str, count: int, colour: str | None, phrase: str) -> None:
    assert noun_phrase(kind, count, colour) == phrase


def test_styles() -> None:
    mentions = [
        Mention(kind="car", colour="red", count=1, position="top left"),
        Mention(kind="key", colour="blue", count=2, position=None),
        Mention(kind="dog", colour="pink", count=1, position="middle"),
    ]
    said = {prompt: caption(mentions, prompt, random.Random(1)) for prompt in PROMPTS}
    assert said["Describe the image."] == (
        "There is a red car in the top left corner. There are two blue keys. There is a pink dog."
    )
    assert said["What is in the picture, and where?"] == (
        "There is a car in the top left corner. There are two blue keys. There is a dog in the middle."
    )
    assert said["Write a short description of this image."].startswith("A red car is in the top left corner. There are")


def test_answers_to_questions_are_true_and_balanced_within_each_type() -> None:
    rng, counts = random.Random(0), Counter[tuple[str, bool]]()
    for seed in range(600):
        scene = sample_scene(seed)
        for question in ask(scene.groups(), rng, rounds=1):
            assert judge(question.text, scene.annotation()) is question.answer, question
            counts[question.type, question.answer] += 1
    for claim_type in ("object", "attribute", "count", "relation"):
        yes, no = counts[claim_type, True], counts[claim_type, False]
        assert yes / (yes + no) == pytest.approx(0.5, abs=0.05), claim_type
