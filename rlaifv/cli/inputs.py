"""Reads what a user names on the command line, and says clearly what is wrong with it."""

from __future__ import annotations

import sys
from pathlib import Path

from rlaifv.core.errors import InvalidInput, NotFound, TooLarge
from rlaifv.core.images import Image

FAKE = "fake:"
"""Address of the model that the fake backends have."""
MAX_ANSWER_BYTES = 1 << 20
_MAX_IMAGE_BYTES = 20 << 20


def read_image(path: Path) -> Image:
    """The picture in a file. Raises NotFound, TooLarge, or InvalidInput if it is no picture that can be decoded."""
    from rlaifv.adapters.images import decode

    if path.is_file() and path.stat().st_size > _MAX_IMAGE_BYTES:
        raise TooLarge(f"--image = {str(path)!r}: {path.stat().st_size} bytes, over the limit of {_MAX_IMAGE_BYTES}")
    data = _read_bytes("--image", path)
    try:
        decode(data)
    except (InvalidInput, TooLarge) as error:
        raise type(error)(f"--image = {str(path)!r}: {error.message}") from error
    return Image.of(data)


def read_answer(given: str, option: str = "--answer") -> str:
    """The text itself, standard input for "-", or the content of a file for "@file". Raises InvalidInput if it is empty."""
    if given == "-":
        text = _decode(option, "standard input", sys.stdin.buffer.read(MAX_ANSWER_BYTES + 1))
    elif given.startswith("@"):
        text = _decode(option, given, _read_bytes(option, Path(given[1:])))
    else:
        text = given
    if not text.strip():
        raise InvalidInput.field(
            option, text, "is empty: give the answer as text, as @file, or as - for standard input"
        )
    return text


def check_model(address: str, option: str = "--model") -> str:
    """The address as services take it: an absolute folder that looks like a Hugging Face model, or "fake:".

    Raises NotFound or InvalidInput.
    """
    if address.startswith(FAKE):
        return address
    path = Path(address)
    if not path.is_dir():
        raise NotFound(f"{option} = {address!r}: there is no such folder; name a Hugging Face model folder")
    if not (path / "config.json").is_file():
        raise InvalidInput.field(option, address, "holds no config.json: name a Hugging Face model folder")
    return str(path.absolute())


def _read_bytes(option: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as exc:
        raise NotFound(f"{option} = {str(path)!r}: there is no such file") from exc
    except IsADirectoryError as exc:
        raise InvalidInput.field(option, str(path), "is a folder: name a file") from exc
    except (OSError, ValueError) as exc:
        raise InvalidInput.field(option, str(path), f"cannot be read ({exc})") from exc


def _decode(option: str, shown: str, data: bytes) -> str:
    if len(data) > MAX_ANSWER_BYTES:
        raise TooLarge(f"{option} = {shown!r}: over the limit of {MAX_ANSWER_BYTES} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as exc:
        remedy = f"is not UTF-8 text (byte {exc.start} is 0x{data[exc.start]:02x}): convert it first"
        raise InvalidInput.field(option, shown, remedy) from exc
