"""Bad and odd pictures: each a clear error or the right pixels, and nothing decoded that is too large."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage

from rlaifv.adapters.images import ImageLimits, ImageSources, decode, fetch
from rlaifv.core.errors import Conflict, InvalidInput, NotFound, RlaifvError, TooLarge
from rlaifv.core.images import Image
from tests.tiny_llava import picture


def encoded(image: PilImage.Image, fmt: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=fmt, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that says it is large and holds no pixels."""
    body = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in ((b"IHDR", body), (b"IDAT", zlib.compress(b"")))
    )
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (b"", InvalidInput, "0 bytes"),
        (b"this is a letter, not a picture", InvalidInput, "this is a le"),
        (b"%PDF-1.7 something", InvalidInput, "no picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", InvalidInput, "no picture"),
        (picture()[:60], InvalidInput, "truncated"),
        (picture(fmt="JPEG")[:-50], InvalidInput, "truncated"),
        (b"\x89PNG" + b"\x00" * (50 * 1024 * 1024), TooLarge, "20971520"),
        (png_header(20_000, 20_000), TooLarge, "89478485"),
        (png_header(20_000, 10), TooLarge, "16384"),
        (png_header(15_000, 15_000), TooLarge, "89478485"),
        (png_header(0, 10), InvalidInput, "picture|pixels"),
    ],
    ids=[
        "0-bytes",
        "text",
        "pdf",
        "eps",
        "cut-png",
        "cut-jpeg",
        "50-mb",
        "20000-px",
        "wide",
        "many-pixels",
        "no-pixels",
    ],
)
def test_refused(data: bytes, error: type[RlaifvError], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        decode(data)
    assert "image" in caught.value.message


def test_one_pixel() -> None:
    assert decode(encoded(PilImage.new("RGB", (1, 1), (9, 8, 7)))).getpixel((0, 0)) == (9, 8, 7)


def test_transparency_lies_on_white() -> None:
    half = PilImage.new("RGBA", (2, 1), (0, 0, 0, 0))
    half.putpixel((1, 0), (255, 0, 0, 255))
    result = decode(encoded(half))
    assert [result.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (255, 0, 0)]


def test_palette_with_transparency() -> None:
    palette = PilImage.new("P", (1, 1))
    palette.putpalette([10, 20, 30] * 256)
    assert decode(encoded(palette, transparency=0)).getpixel((0, 0)) == (255, 255, 255)
    assert decode(encoded(palette)).getpixel((0, 0)) == (10, 20, 30)


def test_cmyk() -> None:
    result = decode(encoded(PilImage.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=95))
    red, green, blue = result.getpixel((4, 4))
    assert result.mode == "RGB"
    assert red > 200
    assert max(green, blue) < 60


def test_grey_of_one_and_of_sixteen_bits() -> None:
    assert decode(encoded(PilImage.new("L", (2, 2), 90))).getpixel((1, 1)) == (90, 90, 90)
    deep = PilImage.fromarray(np.full((2, 2), 40_000, dtype=np.uint16))
    assert decode(encoded(deep)).getpixel((1, 1)) == (156, 156, 156)
    assert decode(encoded(PilImage.new("1", (2, 2), 1))).getpixel((0, 0)) == (255, 255, 255)


def test_animation_gives_its_first_frame() -> None:
    frames = [PilImage.new("RGB", (4, 4), colour) for colour in ((255, 0, 0), (0, 255, 0))]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode(data).getpixel((0, 0)) == (255, 0, 0)


def test_exif_rotation_is_applied() -> None:
    upright = PilImage.new("RGB", (4, 2), (0, 0, 255))
    upright.putpixel((0, 0), (255, 255, 255))
    exif = PilImage.Exif()
    exif[0x0112] = 6
    result = decode(encoded(upright, exif=exif))
    assert result.size == (2, 4)
    assert result.getpixel((1, 0)) == (255, 255, 255)


def test_limits_can_be_set() -> None:
    with pytest.raises(TooLarge, match="30 px"):
        decode(picture(size=(40, 30)), ImageLimits(max_side_px=30))


def test_files_under_a_root(tmp_path: Path) -> None:
    root = tmp_path / "pictures"
    root.mkdir()
    (root / "a b.png").write_bytes(picture())
    (tmp_path / "secret.png").write_bytes(picture())
    sources = ImageSources(roots=(root,))
    digest = hashlib.sha256(picture()).hexdigest()
    assert fetch(Image(uri=str(root / "a b.png"), sha256=digest), sources) == picture()
    assert fetch(Image(uri=f"file://{root}/a%20b.png"), sources) == picture()
    for uri in (str(tmp_path / "secret.png"), f"{root}/../secret.png", "s3://bucket/key", "http://localhost:9/x.png"):
        with pytest.raises(InvalidInput, match=r"image\.uri"):
            fetch(Image(uri=uri), sources)
    with pytest.raises(NotFound):
        fetch(Image(uri=str(root / "none.png")), sources)
    with pytest.raises(Conflict, match="sha256"):
        fetch(Image(uri=str(root / "a b.png"), sha256="0" * 64), sources)


def test_stated_digest_of_bytes_is_checked() -> None:
    with pytest.raises(Conflict):
        fetch(Image(data=picture(), sha256="0" * 64))
