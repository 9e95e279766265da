"""Scenes as pictures: a calm background, soft shadows, tinted sprites."""

from __future__ import annotations

import io
import random
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from demo.world.scenes import CELL_SIZE, IMAGE_SIZE, WorldScene
from demo.world.sprites import shadow, shadow_margin, sprite

JPEG_QUALITY = 92
_SHADOW_SHIFT = (2, 5)
_VARIANTS = 24
# Upper and lower colour of each backdrop: pastel enough for a black object, dark enough for a white one.
_BACKDROPS = (
    ((166, 203, 226), (214, 224, 205)),
    ((224, 196, 178), (196, 166, 150)),
    ((183, 212, 190), (150, 187, 168)),
    ((205, 191, 224), (173, 160, 201)),
    ((226, 213, 176), (199, 180, 140)),
    ((176, 198, 214), (140, 164, 184)),
    ((222, 190, 200), (190, 160, 176)),
    ((190, 205, 200), (206, 184, 160)),
)


def picture(scene: WorldScene) -> Image.Image:
    """The scene as an RGB image of 192 x 192 pixels."""
    rng = random.Random(f"picture {scene.seed}")
    canvas = _backdrop(rng.randrange(len(_BACKDROPS)), rng.randrange(_VARIANTS)).copy()
    for item in sorted(scene.objects, key=lambda item: item.cell):
        row, column = divmod(item.cell, 3)
        left = column * CELL_SIZE + (CELL_SIZE - item.size) // 2 + item.dx
        top = row * CELL_SIZE + (CELL_SIZE - item.size) // 2 + item.dy
        margin = shadow_margin()
        corner = (left - margin + _SHADOW_SHIFT[0], top - margin + _SHADOW_SHIFT[1])
        canvas.paste((24, 26, 44), corner, shadow(item.kind, item.size))
        tinted = sprite(item.kind, item.colour, item.size)
        canvas.paste(tinted, (left, top), tinted)
    return canvas


def jpeg(scene: WorldScene) -> bytes:
    """The scene as a JPEG file; the same bytes for the same scene and Pillow version."""
    buffer = io.BytesIO()
    picture(scene).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


@cache
def _backdrop(palette: int, variant: int) -> Image.Image:
    """One of the backgrounds: a gradient, sometimes with a horizon, and a few large faint discs of light."""
    rng = random.Random(f"backdrop {palette} {variant}")
    upper, lower = (np.array(colour, dtype=np.float64) for colour in _BACKDROPS[palette])
    y, x = np.mgrid[0:IMAGE_SIZE, 0:IMAGE_SIZE] / (IMAGE_SIZE - 1)
    slope = rng.uniform(-0.3, 0.3)
    blend = np.clip(y + slope * (x - 0.5), 0, 1)
    if rng.random() < 0.5:
        horizon = rng.uniform(0.55, 0.75)
        blend = 0.35 * blend + 0.65 * _smooth_step((y - horizon) / 0.02)
    pixels = upper + (lower - upper) * blend[..., None]
    for _ in range(rng.randint(2, 5)):
        centre_x, centre_y, radius = rng.random(), rng.random(), rng.uniform(0.12, 0.32)
        disc = 1 - _smooth_step((np.hypot(x - centre_x, y - centre_y) - radius) / 0.05)
        pixels += rng.uniform(4, 11) * disc[..., None]
    return Image.fromarray(np.clip(pixels, 0, 255).round().astype(np.uint8), "RGB")


def _smooth_step(value: NDArray[np.float64]) -> NDArray[np.float64]:
    clipped = np.clip(value, 0.0, 1.0)
    smooth: NDArray[np.float64] = clipped * clipped * (3 - 2 * clipped)
    return smooth
