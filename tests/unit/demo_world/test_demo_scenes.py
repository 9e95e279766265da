"""Scenes keep their promises, and pictures show what scenes hold."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from demo.world.pictures import jpeg, picture
from demo.world.scenes import CELL_SIZE, Group, PlacedObject, Split, WorldScene, sample_scene
from demo.world.sprites import SPRITES, sprite
from demo.world.vocabulary import COLOURS, KINDS, positions_of
from rlaifv.core.scene import SceneObject


def test_a_scene_holds_two_to_four_groups_in_cells_of_their_own() -> None:
    for seed in range(500):
        scene = sample_scene(seed)
        groups = scene.groups()
        assert 2 <= len(groups) <= 4
        assert 2 <= len(scene.objects) <= 5
        assert len({item.cell for item in scene.objects}) == len(scene.objects)
        assert len({group.kind for group in groups}) == len(groups)
        assert all(1 <= group.count <= 3 for group in groups)


def test_a_seed_is_a_scene_and_a_picture() -> None:
    assert sample_scene(7) == sample_scene(7) != sample_scene(8)
    assert jpeg(sample_scene(7)) == jpeg(sample_scene(7)) != jpeg(sample_scene(8))


def test_splits_share_no_seed() -> None:
    ranges = sorted((split.seed(0), split.seed(10**9 - 1)) for split in Split)
    assert all(last < first for (_, last), (first, _) in pairwise(ranges))
    with pytest.raises(ValueError, match="index = -1"):
        Split.TRAIN.seed(-1)


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        (0, ("top left", "top", "left")),
        (1, ("top",)),
        (3, ("left",)),
        (4, ("middle",)),
        (8, ("bottom right", "bottom", "right")),
    ],
)
def test_position_names(cell: int, names: tuple[str, ...]) -> None:
    assert positions_of(cell) == names


def test_a_group_is_where_all_its_objects_are() -> None:
    assert Group(kind="car", colour="red", cells=(0, 6)).positions == ("left",)
    assert Group(kind="car", colour="red", cells=(0, 8)).positions == ()


def _placed(kind: str, colour: str, cell: int) -> PlacedObject:
    return PlacedObject(kind=kind, colour=colour, cell=cell, dx=0, dy=0, size=58)


def test_annotation_of_a_hand_made_scene() -> None:
    scene = WorldScene(seed=0, objects=(_placed("car", "red", 8), _placed("key", "blue", 0), _placed("car", "red", 2)))
    assert scene.annotation().objects == (
        SceneObject(kind="key", colour="blue", count=1, positions=("top left", "top", "left")),
        SceneObject(kind="car", colour="red", count=2, positions=("right",)),
    )


def test_objects_are_drawn_in_their_cells_in_their_colours() -> None:
    empty = np.asarray(picture(WorldScene(seed=3, objects=())), dtype=float)
    full = np.asarray(picture(WorldScene(seed=3, objects=(_placed("heart", "blue", 5),))), dtype=float)
    changed = np.abs(full - empty).max(axis=2) > 40
    rows, columns = np.nonzero(changed)
    assert rows.min() >= CELL_SIZE
    assert rows.max() < 2 * CELL_SIZE
    assert columns.min() >= 2 * CELL_SIZE - 4
    red, _, blue = full[96, 160]
    assert blue > red + 60


def test_every_kind_has_a_sprite_and_a_licence_lies_beside_them() -> None:
    assert {path.stem for path in SPRITES.glob("*.webp")} == {kind.name for kind in KINDS}
    assert "MIT" in (SPRITES / "LICENSE").read_text()
    assert len(KINDS) >= 32
    assert len(COLOURS) == 8


def test_tinting_keeps_the_outline() -> None:
    assert sprite("dog", "red", 40).getchannel("A").tobytes() == sprite("dog", "white", 40).getchannel("A").tobytes()
