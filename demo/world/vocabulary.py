"""The nouns, colours, numbers and places of the demo world."""

from __future__ import annotations

from dataclasses import dataclass

from rlaifv.core.scene import Lexicon


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of object."""

    name: str
    plural: str
    codepoint: str
    """Name of the sprite in the emoji package, without its suffix."""


def _kind(name: str, codepoint: str, plural: str = "") -> Kind:
    return Kind(name=name, plural=plural or f"{name}s", codepoint=codepoint)


KINDS: tuple[Kind, ...] = (
    _kind("airplane", "2708-fe0f"),
    _kind("apple", "1f34e"),
    _kind("ball", "26bd"),
    _kind("balloon", "1f388"),
    _kind("banana", "1f34c"),
    _kind("bell", "1f514"),
    _kind("bicycle", "1f6b2"),
    _kind("bird", "1f426"),
    _kind("boat", "26f5"),
    _kind("book", "1f4d5"),
    _kind("butterfly", "1f98b", "butterflies"),
    _kind("camera", "1f4f7"),
    _kind("car", "1f697"),
    _kind("chair", "1fa91"),
    _kind("clock", "23f0"),
    _kind("cup", "2615"),
    _kind("dog", "1f415"),
    _kind("drum", "1f941"),
    _kind("elephant", "1f418"),
    _kind("flower", "1f337"),
    _kind("guitar", "1f3b8"),
    _kind("hat", "1f3a9"),
    _kind("heart", "2764-fe0f"),
    _kind("house", "1f3e0"),
    _kind("key", "1f511"),
    _kind("mushroom", "1f344"),
    _kind("rabbit", "1f407"),
    _kind("rocket", "1f680"),
    _kind("shoe", "1f45f"),
    _kind("star", "2b50"),
    _kind("tree", "1f333"),
    _kind("umbrella", "2602-fe0f"),
)
KIND_BY_NAME = {kind.name: kind for kind in KINDS}

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (217, 38, 46),
    "yellow": (246, 200, 22),
    "green": (52, 160, 68),
    "blue": (40, 98, 220),
    "purple": (126, 54, 186),
    "pink": (247, 130, 188),
    "white": (232, 233, 238),
    "black": (44, 44, 52),
}

NUMBER_WORDS = {1: "one", 2: "two", 3: "three"}

COLUMNS = ROWS = 3
CELLS = COLUMNS * ROWS
MIDDLE = "middle"
_ROW_NAMES = ("top", "", "bottom")
_COLUMN_NAMES = ("left", "", "right")

POSITION_PHRASES: dict[str, str] = {
    "left": "on the left",
    "right": "on the right",
    "top": "at the top",
    "bottom": "at the bottom",
    "middle": "in the middle",
    "top left": "in the top left corner",
    "top right": "in the top right corner",
    "bottom left": "in the bottom left corner",
    "bottom right": "in the bottom right corner",
}


def positions_of(cell: int) -> tuple[str, ...]:
    """The position names that hold in a cell (0 to 8, row by row), the most exact one first."""
    row, column = divmod(cell, COLUMNS)
    names = [name for name in (_ROW_NAMES[row], _COLUMN_NAMES[column]) if name]
    if not names:
        return (MIDDLE,)
    return (" ".join(names), *names) if len(names) > 1 else tuple(names)


def lexicon() -> Lexicon:
    """Every word form by which a claim can speak of the demo world."""
    kinds = {form: kind.name for kind in KINDS for form in (kind.name, kind.plural)}
    positions = {name: name for name in POSITION_PHRASES}
    for word, name in (("upper", "top"), ("lower", "bottom")):
        positions |= {word: name} | {f"{word} {side}": f"{name} {side}" for side in ("left", "right")}
    positions |= {"center": MIDDLE, "centre": MIDDLE}
    return Lexicon(kinds=kinds, colours={name: name for name in COLOURS}, positions=positions)
