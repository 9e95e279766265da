"""Training pictures, drawn once: pixels at the model's size and, for every patch, the object it shows."""

from __future__ import annotations

import io
import multiprocessing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from demo.model.architecture import GRID, INPUT_SIZE
from demo.world.pictures import jpeg
from demo.world.scenes import CELL_SIZE, IMAGE_SIZE, Split, WorldScene, sample_scene
from demo.world.sprites import sprite

BACKGROUND = -1
UNCLEAR = -2
"""The patch shows a sliver of an object: neither that object nor background is asked for."""
_SHOWN_SHARE = 0.15
_SLIVER_SHARE = 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """Scenes of one split with their pictures, index for index."""

    scenes: tuple[WorldScene, ...]
    pixels: NDArray[np.uint8]
    """(n, size, size, 3), as the image processor resizes them, before normalisation."""
    patches: NDArray[np.int8]
    """(n, patches): index into `scene.objects`, BACKGROUND or UNCLEAR."""


def load(folder: Path, split: Split, size: int, workers: int = 2) -> Corpus:
    """The first `size` scenes of a split; drawn if `folder` does not hold them yet (about 6 ms each)."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"{split.name.lower()}-{size}-{INPUT_SIZE}-{GRID}"
    pixel_file, patch_file = stem.with_suffix(".pixels.npy"), stem.with_suffix(".patches.npy")
    if not patch_file.exists():
        pixels = np.lib.format.open_memmap(pixel_file, "w+", np.uint8, (size, INPUT_SIZE, INPUT_SIZE, 3))
        patches = np.zeros((size, GRID * GRID), dtype=np.int8)
        with multiprocessing.Pool(workers) as pool:
            for index, drawn in enumerate(pool.imap(partial(_draw, split), range(size), chunksize=64)):
                pixels[index], patches[index] = drawn
        pixels.flush()
        np.save(patch_file, patches)
    scenes = tuple(sample_scene(split.seed(index)) for index in range(size))
    return Corpus(scenes=scenes, pixels=np.load(pixel_file, mmap_mode="r"), patches=np.load(patch_file))


def _draw(split: Split, index: int) -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
    scene = sample_scene(split.seed(index))
    with Image.open(io.BytesIO(jpeg(scene))) as drawn:
        small = drawn.resize((INPUT_SIZE, INPUT_SIZE), Image.Resampling.BICUBIC)
    return np.asarray(small), shown_objects(scene)


def shown_objects(scene: WorldScene) -> NDArray[np.int8]:
    """For every patch the object that fills most of it, row by row."""
    shares = np.zeros((len(scene.objects), GRID * GRID))
    for index, item in enumerate(scene.objects):
        canvas = Image.new("L", (IMAGE_SIZE, IMAGE_SIZE))
        row, column = divmod(item.cell, 3)
        edge = (CELL_SIZE - item.size) // 2
        outline = sprite(item.kind, item.colour, item.size).getchannel("A")
        canvas.paste(outline, (column * CELL_SIZE + edge + item.dx, row * CELL_SIZE + edge + item.dy))
        shares[index] = np.asarray(canvas.resize((GRID, GRID), Image.Resampling.BOX)).reshape(-1) / 255
    most = shares.max(axis=0)
    sliver_or_none = np.where(most < _SLIVER_SHARE, BACKGROUND, UNCLEAR)
    return np.where(most >= _SHOWN_SHARE, shares.argmax(axis=0), sliver_or_none).astype(np.int8)
