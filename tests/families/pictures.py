"""Encoded pictures that processors treat differently: wide, tall, large, one pixel high, gray, with transparency."""

from __future__ import annotations

import io

from PIL import Image as PilImage


def encoded(width: int, height: int, *, mode: str = "RGB", fmt: str = "PNG", turn: int = 0) -> bytes:
    """A picture without two equal patches."""
    ramps = [PilImage.linear_gradient("L").rotate(turn + angle).resize((width, height)) for angle in (0, 90, 180, 270)]
    image = ramps[0] if mode == "L" else PilImage.merge(mode, ramps[: len(mode)])
    buffer = io.BytesIO()
    image.save(buffer, format=fmt)
    return buffer.getvalue()


PICTURES = {
    "square": encoded(64, 64),
    "wide": encoded(150, 50, turn=90),
    "tall": encoded(40, 120, fmt="JPEG"),
    "one_pixel_high": encoded(60, 1),
    "three_pixels_wide": encoded(3, 40),
    "gray": encoded(90, 70, mode="L"),
    "transparent": encoded(70, 90, mode="RGBA"),
    "large": encoded(400, 300, fmt="WEBP", turn=180),
}
