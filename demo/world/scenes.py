"""Seeded scenes: which objects, how many, in which colour and where."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import IntEnum

from demo.world.vocabulary import CELLS, COLOURS, KINDS, lexicon, positions_of
from rlaifv.core.scene import Scene, SceneObject

IMAGE_SIZE = 192
CELL_SIZE = IMAGE_SIZE // 3
SIZES = (54, 58, 62)
MAX_OBJECTS = 5
_JITTER_PX = 5
_GROUP_COUNTS = (2, 3, 4)
_GROUP_WEIGHTS = (0.50, 0.40, 0.10)
_OBJECT_COUNTS = (1, 2, 3)
_OBJECT_WEIGHTS = (0.66, 0.22, 0.12)
_SPLIT_SPAN = 10**9


class Split(IntEnum):
    """Disjoint ranges of scene seeds; a picture of one split never occurs in another."""

    TRAIN = 0
    """The demo model's own training."""
    PROMPTS = 1
    """Prompts of the loop's rounds."""
    VALIDATION = 2
    EVALUATION = 3
    MONITOR = 4
    """What the building of the model is watched on."""

    def seed(self, index: int) -> int:
        """The scene seed of this split's `index`-th scene, index from 0 to 10^9 - 1."""
        if not 0 <= index < _SPLIT_SPAN:
            raise ValueError(f"index = {index}: must be from 0 to {_SPLIT_SPAN - 1}")
        return int(self) * _SPLIT_SPAN + index


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedObject:
    """One object on the 3 x 3 grid."""

    kind: str
    colour: str
    cell: int
    """0 to 8, row by row."""
    dx: int
    """Shift from the cell's centre, pixels to the right."""
    dy: int
    """Shift from the cell's centre, pixels downwards."""
    size: int
    """Edge of its square, pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The objects of one kind, all of one colour."""

    kind: str
    colour: str
    cells: tuple[int, ...]
    """Ascending."""

    @property
    def count(self) -> int:
        """How many objects there are."""
        return len(self.cells)

    @property
    def positions(self) -> tuple[str, ...]:
        """The position names that hold for every object, the most exact one first."""
        shared = set.intersection(*(set(positions_of(cell)) for cell in self.cells))
        return tuple(name for name in positions_of(self.cells[0]) if name in shared)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldScene:
    """A scene that can be drawn; equal seeds give equal scenes."""

    seed: int
    objects: tuple[PlacedObject, ...]

    def groups(self) -> tuple[Group, ...]:
        """The objects by kind, in reading order of each group's first object."""
        cells: dict[tuple[str, str], list[int]] = {}
        for item in sorted(self.objects, key=lambda item: item.cell):
            cells.setdefault((item.kind, item.colour), []).append(item.cell)
        return tuple(Group(kind=kind, colour=colour, cells=tuple(where)) for (kind, colour), where in cells.items())

    def annotation(self) -> Scene:
        """The ground truth that evaluation judges claims by."""
        return Scene(
            objects=tuple(
                SceneObject(kind=g.kind, colour=g.colour, count=g.count, positions=g.positions) for g in self.groups()
            ),
            lexicon=lexicon(),
        )


def sample_scene(seed: int) -> WorldScene:
    """The scene of this seed: 2 to 4 groups, 2 to 5 objects, each kind in one group only."""
    rng = random.Random(f"scene {seed}")
    groups = rng.choices(_GROUP_COUNTS, _GROUP_WEIGHTS)[0]
    counts = [rng.choices(_OBJECT_COUNTS, _OBJECT_WEIGHTS)[0] for _ in range(groups)]
    while sum(counts) > MAX_OBJECTS:
        counts[counts.index(max(counts))] -= 1
    kinds = rng.sample([kind.name for kind in KINDS], groups)
    cells = iter(rng.sample(range(CELLS), sum(counts)))
    objects = []
    for kind, count in zip(kinds, counts, strict=True):
        colour, size = rng.choice(list(COLOURS)), rng.choice(SIZES)
        for _ in range(count):
            dx, dy = rng.randint(-_JITTER_PX, _JITTER_PX), rng.randint(-_JITTER_PX, _JITTER_PX)
            objects.append(PlacedObject(kind=kind, colour=colour, cell=next(cells), dx=dx, dy=dy, size=size))
    return WorldScene(seed=seed, objects=tuple(objects))
