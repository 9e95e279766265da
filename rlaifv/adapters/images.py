"""The one way from encoded bytes or a URI to pixels: generating, scoring, log-probabilities and training all decode here."""

from __future__ import annotations

import hashlib
import io
import struct
import urllib.error
import urllib.parse
import urllib.request
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as PilImage
from PIL import ImageOps

from rlaifv.core.errors import Conflict, InvalidInput, NotFound, TooLarge, Unavailable
from rlaifv.core.images import Image

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "MPO", "JPEG2000", "AVIF")
"""What is decoded; formats that run other programs (EPS, PDF) are left out on purpose."""

_DECODER_ERRORS = (
    OSError,
    SyntaxError,
    EOFError,
    ValueError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLimits:
    """What is refused before decoding: encoded size in bytes, longest side in pixels, number of pixels."""

    max_bytes: int = 20 * 1024 * 1024
    max_side_px: int = 16_384
    max_pixels: int = 89_478_485


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSources:
    """Where URIs may point. `roots` are folders whose files may be read; http(s) is off unless `allow_http`."""

    roots: tuple[Path, ...] = ()
    allow_http: bool = False
    http_timeout_s: float = 10.0
    limits: ImageLimits = ImageLimits()


def decode(data: bytes, limits: ImageLimits = ImageLimits()) -> PilImage.Image:
    """RGB pixels of an encoded picture, upright (EXIF applied), first frame, transparency on white.

    Raises TooLarge over a limit (checked on the header, before any pixel is decoded) and InvalidInput for 0 bytes, bytes
    that are no picture, and truncated pictures.
    """
    picture = _opened(data, limits)
    try:
        picture.seek(0)
        picture.load()
        return _to_rgb(ImageOps.exif_transpose(picture))
    except _DECODER_ERRORS as exc:
        shown = f"{len(data)} bytes of {picture.format}, {picture.size[0]}x{picture.size[1]} px"
        raise InvalidInput.field("image", shown, f"is truncated or damaged ({exc}): send the whole file") from exc


def fetch(image: Image, sources: ImageSources = ImageSources()) -> bytes:
    """The encoded bytes of an image, read from its URI where it carries none.

    Raises NotFound for a missing file, InvalidInput for a place that is not allowed, TooLarge over the byte limit,
    Unavailable for a failed download, Conflict where the bytes do not have the stated sha256.
    """
    data = image.data or _read(image.uri, sources)
    _refuse_bytes(len(data), sources.limits)
    if image.sha256 and (found := hashlib.sha256(data).hexdigest()) != image.sha256:
        raise Conflict(
            f"image.sha256 = {image.sha256!r} but the bytes have {found!r}: the image changed, state it anew"
        )
    return data


def check_header(data: bytes, limits: ImageLimits = ImageLimits()) -> None:
    """Refuse what `decode` would refuse before it decodes a pixel: for a service that hands the picture on as it is."""
    _opened(data, limits).close()


def _opened(data: bytes, limits: ImageLimits) -> PilImage.Image:
    if not data:
        raise InvalidInput("image has 0 bytes: send the bytes of an encoded picture (PNG, JPEG, WebP …)")
    _refuse_bytes(len(data), limits)
    picture = _open(data, limits)
    _refuse_size(picture.size, limits)
    return picture


def _open(data: bytes, limits: ImageLimits) -> PilImage.Image:
    try:
        return PilImage.open(io.BytesIO(data), formats=FORMATS)
    except (PilImage.DecompressionBombError, PilImage.DecompressionBombWarning) as exc:
        raise TooLarge(f"image is over the limit of {limits.max_pixels} pixels ({exc}): scale it down") from exc
    except _DECODER_ERRORS as exc:
        shown = f"{len(data)} bytes beginning {data[:12]!r}"
        raise InvalidInput.field("image", shown, "is no picture: send PNG, JPEG, WebP, GIF, BMP or TIFF") from exc


def _refuse_bytes(size: int, limits: ImageLimits) -> None:
    if size > limits.max_bytes:
        raise TooLarge(f"image has {size} bytes, over the limit of {limits.max_bytes}: send a smaller file")


def _refuse_size(size: tuple[int, int], limits: ImageLimits) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise InvalidInput.field("image", f"{width}x{height} px", "has no pixels")
    if max(size) > limits.max_side_px:
        raise TooLarge(f"image is {width}x{height} px, over the limit of {limits.max_side_px} px a side: scale it down")
    if width * height > limits.max_pixels:
        raise TooLarge(f"image is {width}x{height} px, over the limit of {limits.max_pixels} pixels: scale it down")


def _to_rgb(picture: PilImage.Image) -> PilImage.Image:
    if picture.mode == "RGB" and "transparency" not in picture.info:
        return picture.copy()
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        return _deep_to_rgb(picture)
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        layered = picture.convert("RGBA")
        paper = PilImage.new("RGBA", layered.size, (255, 255, 255, 255))
        return PilImage.alpha_composite(paper, layered).convert("RGB")
    return picture.convert("RGB")


def _deep_to_rgb(picture: PilImage.Image) -> PilImage.Image:
    """Grey of more than 8 bits; Pillow's own conversion clips it to white instead of scaling it."""
    values = np.nan_to_num(np.asarray(picture, dtype=np.float64))
    peak = float(values.max(initial=0.0))
    scale = 1.0 / 257.0 if picture.mode.startswith("I;16") or peak > 255.0 else 255.0 if 0.0 < peak <= 1.0 else 1.0
    grey = np.clip(np.rint(values * scale), 0, 255).astype(np.uint8)
    return PilImage.fromarray(grey).convert("RGB")


def _read(uri: str, sources: ImageSources) -> bytes:
    parts = urllib.parse.urlsplit(uri)
    if parts.scheme in ("http", "https"):
        return _download(uri, sources)
    if parts.scheme not in ("", "file"):
        raise InvalidInput.field("image.uri", uri, "must be a path, file:// or (where allowed) http(s)://")
    path = Path(urllib.parse.unquote(parts.path) if parts.scheme else uri).resolve()
    if not any(path.is_relative_to(root.resolve()) for root in sources.roots):
        allowed = ", ".join(str(root) for root in sources.roots) or "none"
        raise InvalidInput.field("image.uri", uri, f"is outside the folders that may be read ({allowed})")
    try:
        with path.open("rb") as file:
            return file.read(sources.limits.max_bytes + 1)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as exc:
        raise NotFound(f"image.uri = {uri!r}: there is no such file") from exc
    except OSError as exc:
        raise Unavailable(f"image.uri = {uri!r} cannot be read: {exc.strerror}") from exc


def _download(uri: str, sources: ImageSources) -> bytes:
    if not sources.allow_http:
        raise InvalidInput.field("image.uri", uri, "http is not allowed here: send bytes, or allow it in the settings")
    try:
        with urllib.request.urlopen(uri, timeout=sources.http_timeout_s) as response:
            body: bytes = response.read(sources.limits.max_bytes + 1)
            return body
    except urllib.error.HTTPError as exc:
        exc.close()
        raise NotFound(f"image.uri = {uri!r} answers {exc.code}") from exc
    except (urllib.error.URLError, TimeoutError, OSError) as exc:
        raise Unavailable(f"image.uri = {uri!r} cannot be fetched: {exc}") from exc
