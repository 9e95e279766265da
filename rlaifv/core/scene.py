"""Scenes whose content is known exactly, and what is true of them: the yardstick of evaluation.

Nothing in the loop may look here: the policy, the decomposer, the labeler and the trainer see pictures and words only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rlaifv.core.errors import InvalidInput

_NUMBERS = {
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
}
_NEGATIONS = frozenset({"no", "not", "n't", "never", "without", "none", "neither", "nor"})
_EXISTENTIAL_OPENINGS = frozenset({"there", "no", "none", "neither"})
# Words that say nothing checkable on their own; any other unknown word makes a claim unjudgeable.
_FILLER_TEXT = (
    "a an the this that these those there it its is are was were be been am has have having do does did and also with "
    "of in on at to from by as which who i you we one's can could see seen shown show shows contain contains include "
    "includes including visible present located placed found depicts depict features color colour colored coloured "
    "image picture photo photograph scene view corner side part area position any some exactly"
)
_FILLERS = frozenset(_FILLER_TEXT.split())
_WORD = re.compile(r"n't|[^\W_]+")
_SENTENCE_END = re.compile(r"[.!?;\n]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneObject:
    """All objects of one kind in a scene; they share a colour."""

    kind: str
    colour: str
    count: int
    """How many there are, at least 1."""
    positions: tuple[str, ...] = ()
    """The names of the positions that hold for every one of them, for example ("top left", "top", "left")."""


@dataclass(frozen=True, kw_only=True)
class Lexicon:
    """The words by which a claim may speak of a scene: surface form -> what it means, all in lower case."""

    kinds: Mapping[str, str]
    """Singular and plural forms of every kind that could occur, each with the kind's name."""
    colours: Mapping[str, str]
    positions: Mapping[str, str]
    """Phrases of one or more words ("top left corner") with the position's name ("top left"); the longest wins."""

    @cached_property
    def position_pattern(self) -> re.Pattern[str]:
        """Matches any position phrase as whole words, longest first."""
        phrases = sorted(self.positions, key=lambda phrase: (-len(phrase), phrase))
        return re.compile("|".join(rf"\b{re.escape(phrase)}\b" for phrase in phrases) or r"(?!)")


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The exact content of a picture, at most one `SceneObject` per kind, and the words to speak of it."""

    objects: tuple[SceneObject, ...]
    lexicon: Lexicon
    questions: tuple[tuple[str, bool], ...] = ()
    """Yes/no questions about the picture with their right answers."""

    def find(self, kind: str) -> SceneObject | None:
        """The objects of `kind`, or None if the picture has none."""
        return next((item for item in self.objects if item.kind == kind), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; `Scene.from_dict` is the inverse."""
        return {
            "objects": [
                {"kind": o.kind, "colour": o.colour, "count": o.count, "positions": list(o.positions)}
                for o in self.objects
            ],
            "lexicon": {
                "kinds": dict(self.lexicon.kinds),
                "colours": dict(self.lexicon.colours),
                "positions": dict(self.lexicon.positions),
            },
            "questions": [[question, answer] for question, answer in self.questions],
        }

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Scene:
        """Raises InvalidInput if a field is missing, a count is below 1 or a kind occurs twice."""
        try:
            objects = tuple(
                SceneObject(
                    kind=str(item["kind"]),
                    colour=str(item["colour"]),
                    count=int(item["count"]),
                    positions=tuple(map(str, item["positions"])),
                )
                for item in data["objects"]
            )
            words = data["lexicon"]
            lexicon = Lexicon(
                kinds=dict(words["kinds"]), colours=dict(words["colours"]), positions=dict(words["positions"])
            )
            questions = tuple((str(question), bool(answer)) for question, answer in data.get("questions", ()))
        except (KeyError, TypeError, ValueError) as exc:
            raise InvalidInput.field(
                "scene", data, f"a scene annotation as written by Scene.to_dict ({exc!r})"
            ) from exc
        for item in objects:
            if item.count < 1:
                raise InvalidInput.field("scene.objects.count", item.count, "must be at least 1")
        if len({item.kind for item in objects}) < len(objects):
            raise InvalidInput.field("scene.objects", [o.kind for o in objects], "each kind at most once")
        return Scene(objects=objects, lexicon=lexicon, questions=questions)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """What the words of a claim say, as far as the lexicon knows them."""

    kinds: tuple[str, ...]
    colours: frozenset[str]
    numbers: frozenset[int]
    positions: frozenset[str]
    negations: int
    existential: bool
    understood: bool
    """False if a word is left that is neither in the lexicon nor a filler."""


def judge(claim_text: str, scene: Scene) -> bool | None:
    """Whether a one-statement English claim is true of the scene; None where the scene cannot tell.

    None for kinds, properties and relations outside the lexicon ("There is a zebra.", "The car is shiny."). What is
    said of an absent object is false, denied or not ("The car is not red." needs a car); only denied existence
    ("There is no car.") is true of an absent object.
    """
    said = _read(claim_text, scene.lexicon)
    if not said.kinds:
        return None
    subjects = [scene.find(kind) for kind in said.kinds]
    absent = any(subject is None for subject in subjects)
    denied = said.negations % 2 == 1
    if absent and not denied:
        return False
    if len(said.kinds) > 1 or not said.understood:
        return None
    subject = subjects[0]
    if subject is None:
        return said.existential
    return _holds(said, subject) != denied


def _holds(said: _Reading, subject: SceneObject) -> bool:
    return (
        all(colour == subject.colour for colour in said.colours)
        and all(number == subject.count for number in said.numbers)
        and said.positions <= set(subject.positions)
    )


def coverage(answer_text: str, scene: Scene) -> float:
    """Share of the scene's kinds that the answer names, from 0 to 1; sentences with a negation do not count."""
    if not scene.objects:
        raise InvalidInput("coverage needs a scene with at least one object")
    named: set[str] = set()
    for sentence in _SENTENCE_END.split(answer_text):
        said = _read(sentence, scene.lexicon)
        if not said.negations:
            named.update(said.kinds)
    return sum(item.kind in named for item in scene.objects) / len(scene.objects)


def _read(text: str, lexicon: Lexicon) -> _Reading:
    lowered = text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").replace("n't", " n't ")
    positions: set[str] = set()

    def take(match: re.Match[str]) -> str:
        positions.add(lexicon.positions[match.group()])
        return " "

    rest = lexicon.position_pattern.sub(take, lowered)
    words = _WORD.findall(rest)
    known = lexicon.kinds.keys() | lexicon.colours.keys() | _FILLERS | _NEGATIONS | _NUMBERS.keys()
    return _Reading(
        kinds=tuple(dict.fromkeys(lexicon.kinds[word] for word in words if word in lexicon.kinds)),
        colours=frozenset(lexicon.colours[word] for word in words if word in lexicon.colours),
        numbers=frozenset(_number(word) for word in words if word in _NUMBERS or word.isdecimal()),
        positions=frozenset(positions),
        negations=sum(word in _NEGATIONS for word in words),
        existential=bool(words) and words[0] in _EXISTENTIAL_OPENINGS,
        understood=all(word in known or word.isdecimal() for word in words),
    )


def _number(word: str) -> int:
    return _NUMBERS[word] if word in _NUMBERS else int(word)
