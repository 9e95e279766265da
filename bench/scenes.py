"""Pictures and texts to measure with: made from a seed, of the lengths that answers and claims have in practice."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image as PilImage

from rlaifv.core.images import Image
from rlaifv.core.verdicts import question_prompt

_COLOURS = ("red", "blue", "green", "yellow", "white", "black", "brown", "grey", "orange", "purple", "pink", "silver")
_THINGS = (
    *("car", "dog", "cat", "cup", "bus", "tree", "bench", "table", "lamp", "kite", "horse", "boat", "train", "clock"),
    *("phone", "chair", "bottle", "window", "door", "bird", "sheep", "cow", "apple", "banana", "pizza", "umbrella"),
    *("backpack", "bicycle", "sign", "fence", "building", "bridge", "river", "mountain", "street", "man", "woman"),
)
_PLACES = (
    *("on the left", "on the right", "in the middle", "in the background", "near the window", "next to the road"),
    *("under the table", "behind the fence", "in front of the building", "at the top", "at the bottom"),
)
_COUNTS = ("two", "three", "four", "five", "several")


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedPicture:
    """A picture and, answer by answer, the yes/no questions of its claims."""

    image: Image
    answers: tuple[tuple[str, ...], ...]

    @property
    def questions(self) -> list[str]:
        """All questions in their order, repetitions included."""
        return [question for answer in self.answers for question in answer]


def picture(seed: int, size: tuple[int, int] = (320, 240)) -> bytes:
    """A PNG of smooth random patches: every picture differs from every other everywhere."""
    small = np.random.default_rng(seed).integers(0, 256, size=(12, 16, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    PilImage.fromarray(small).resize(size, PilImage.Resampling.BICUBIC).save(buffer, format="PNG")
    return buffer.getvalue()


def statement(rng: random.Random) -> tuple[str, str]:
    """A claim and its question, e.g. "There is a red car on the left." and "Is there a red car on the left?"."""
    thing, colour, place = rng.choice(_THINGS), rng.choice(_COLOURS), rng.choice(_PLACES)
    kind = rng.randrange(4)
    if kind == 0:
        return f"There is a {colour} {thing} {place}.", f"Is there a {colour} {thing} {place}?"
    if kind == 1:
        count = rng.choice(_COUNTS)
        return f"There are {count} {thing}s {place}.", f"Are there {count} {thing}s {place}?"
    if kind == 2:
        return f"The {thing} {place} is {colour}.", f"Is the {thing} {place} {colour}?"
    other = rng.choice(_THINGS)
    return f"The {colour} {thing} is beside the {other}.", f"Is the {colour} {thing} beside the {other}?"


def asked_pictures(
    count: int, seed: int, *, answers: int = 10, claims: int = 9, repeated: float = 0.0
) -> list[AskedPicture]:
    """`count` pictures with `answers` of `claims` claims. A share `repeated` of the claims was made by an earlier answer."""
    return [_asked(seed * 10_007 + number, answers, claims, repeated) for number in range(count)]


def answer_text(rng: random.Random, claims: int) -> str:
    """An answer that makes so many claims."""
    return " ".join(statement(rng)[0] for _ in range(claims))


def corpus() -> Iterator[str]:
    """What the tokenizers of the benches are trained on."""
    rng = random.Random("corpus")
    yield from ("yes Yes no No", " yes. no. Yes, it is. No, it is not. YES NO")
    for _ in range(3000):
        claim, question = statement(rng)
        yield from (claim, question_prompt(question))
        yield "USER: Describe the picture in detail. ASSISTANT: What do you see in this image?"


def _asked(seed: int, answers: int, claims: int, repeated: float) -> AskedPicture:
    rng = random.Random(seed)
    known: list[str] = []
    made = []
    for _ in range(answers):
        earlier = list(known)
        answer: list[str] = []
        for _ in range(claims):
            again = bool(earlier) and rng.random() < repeated
            answer.append(_next(rng, [one for one in earlier if one not in answer] if again else [], known + answer))
        known += [question for question in answer if question not in known]
        made.append(tuple(answer))
    return AskedPicture(image=Image.of(picture(seed)), answers=tuple(made))


def _next(rng: random.Random, earlier: list[str], known: list[str]) -> str:
    """One of `earlier`, or where there is none a question that is not known."""
    if earlier:
        return rng.choice(earlier)
    while (question := statement(rng)[1]) in known:
        pass
    return question
