"""The sprites of the world's objects, in any of its colours, and the import of their originals."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from demo.world.vocabulary import COLOURS, KIND_BY_NAME, KINDS

SPRITES = Path(__file__).parent.parent / "assets" / "sprites"
STORED_SIZE = 72
_SHADOW_BLUR_PX = 2.5
_SHADOW_ALPHA = 0.38


@cache
def sprite(kind: str, colour: str, size: int) -> Image.Image:
    """The object as RGBA, `size` x `size` pixels; the luminance of the original carries shape and shading."""
    with Image.open(SPRITES / f"{kind}.webp") as stored:
        original = np.asarray(stored.convert("RGBA"), dtype=np.float64)
    alpha = original[..., 3]
    shade = _shade(original[..., :3] @ np.array([0.299, 0.587, 0.114]), alpha > 128)
    tinted = np.dstack([_ramp(shade, np.array(COLOURS[colour], dtype=np.float64)), alpha])
    return Image.fromarray(tinted.round().astype(np.uint8), "RGBA").resize((size, size), Image.Resampling.LANCZOS)


@cache
def shadow(kind: str, size: int) -> Image.Image:
    """The object's soft shadow as an alpha mask, a little larger than the object on every side (`shadow_margin`)."""
    outline = sprite(kind, "black", size).getchannel("A")
    mask = Image.new("L", (size + 2 * shadow_margin(), size + 2 * shadow_margin()))
    mask.paste(outline, (shadow_margin(), shadow_margin()))
    return mask.filter(ImageFilter.GaussianBlur(_SHADOW_BLUR_PX)).point(lambda value: value * _SHADOW_ALPHA)


def shadow_margin() -> int:
    """Pixels by which a shadow reaches over its object's square."""
    return round(3 * _SHADOW_BLUR_PX)


def _shade(luminance: NDArray[np.float64], solid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Luminance stretched to 0..1 over the solid pixels, with their median at one half."""
    low, median, high = np.percentile(luminance[solid], [3, 50, 97])
    below = 0.5 * (luminance - low) / max(median - low, 35.0)
    above = 0.5 + 0.5 * (luminance - median) / max(high - median, 35.0)
    shade: NDArray[np.float64] = np.clip(np.where(luminance < median, below, above), 0.0, 1.0)
    return shade


def _ramp(shade: NDArray[np.float64], base: NDArray[np.float64]) -> NDArray[np.float64]:
    """Dark tone at 0, the colour itself at one half, a highlight at 1."""
    dark, light = base * 0.45, base + (255.0 - base) * 0.5
    position = shade[..., None]
    darker, lighter = dark + (base - dark) * 2 * position, base + (light - base) * (2 * position - 1)
    mixed: NDArray[np.float64] = np.where(position < 0.5, darker, lighter)
    return mixed


def import_originals(assets: Path) -> None:
    """Store the world's sprites from the unpacked emoji package's folder `assets`."""
    SPRITES.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        with Image.open(assets / f"{KIND_BY_NAME[kind.name].codepoint}.webp") as original:
            small = original.convert("RGBA").resize((STORED_SIZE, STORED_SIZE), Image.Resampling.LANCZOS)
        small.save(SPRITES / f"{kind.name}.webp", quality=92, method=6)


if __name__ == "__main__":
    typer.run(import_originals)
