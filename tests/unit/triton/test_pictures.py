"""Pictures by address: read once where their digest is known, kept within a bound, refused as the model would refuse them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rlaifv.adapters import images
from rlaifv.adapters.images import ImageLimits, ImageSources
from rlaifv.adapters.triton import pictures as module
from rlaifv.adapters.triton.pictures import Pictures
from rlaifv.core.errors import Conflict, InvalidInput, NotFound, TooLarge
from rlaifv.core.images import Image
from tests.serving import picture

RED, BLUE = picture("red").data, picture("blue").data


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that were read."""
    found: list[str] = []

    def fetch(image: Image, sources: ImageSources) -> bytes:
        found.append(image.uri)
        return images.fetch(image, sources)

    monkeypatch.setattr(module, "fetch", fetch)
    return found


@pytest.fixture
async def pictures(tmp_path: Path) -> AsyncIterator[Pictures]:
    kept = Pictures(ImageSources(roots=(tmp_path,), limits=ImageLimits(max_side_px=100)), max_bytes=len(RED) + 10)
    yield kept
    await kept.close()


def at(path: Path, data: bytes, digest: bool = True) -> Image:
    path.write_bytes(data)
    return Image(uri=str(path), sha256=hashlib.sha256(data).hexdigest() if digest else "")


async def test_an_address_with_a_digest_is_read_once(pictures: Pictures, tmp_path: Path, reads: list[str]) -> None:
    image = at(tmp_path / "red.png", RED)
    found = [await pictures.get(image) for _ in range(3)]
    assert {(one.data, one.sha256) for one in found} == {(RED, image.sha256)}
    assert len(reads) == 1


async def test_items_that_wait_for_an_address_share_its_reading(
    pictures: Pictures, tmp_path: Path, reads: list[str]
) -> None:
    image = at(tmp_path / "red.png", RED, digest=False)
    found = await asyncio.gather(*(pictures.get(image) for _ in range(5)))
    assert {one.sha256 for one in found} == {hashlib.sha256(RED).hexdigest()}
    assert len(reads) == 1


async def test_an_address_without_a_digest_may_show_something_else_next_time(
    pictures: Pictures, tmp_path: Path
) -> None:
    image = at(tmp_path / "now.png", RED, digest=False)
    assert (await pictures.get(image)).data == RED
    (tmp_path / "now.png").write_bytes(BLUE)
    assert (await pictures.get(image)).data == BLUE


async def test_what_is_kept_is_bounded(pictures: Pictures, tmp_path: Path, reads: list[str]) -> None:
    first, second = at(tmp_path / "red.png", RED), at(tmp_path / "blue.png", BLUE)
    for image in (first, second, second, first):
        await pictures.get(image)
    assert [Path(uri).name for uri in reads] == ["red.png", "blue.png", "red.png"]
    assert pictures.bytes == len(RED)


async def test_pictures_in_the_request_are_not_kept(pictures: Pictures) -> None:
    image = picture("red")
    assert (await pictures.get(image)).sha256 == image.sha256
    assert pictures.bytes == 0


@pytest.mark.parametrize(
    ("image", "error"),
    [
        (Image.of(b"no picture"), InvalidInput),
        (picture("red", (101, 5)), TooLarge),
        (Image(data=RED, sha256="0" * 64), Conflict),
        (Image(uri="/etc/hostname"), InvalidInput),
    ],
    ids=["no picture", "too wide", "another digest", "a folder that may not be read"],
)
async def test_what_cannot_be_shown_is_refused(pictures: Pictures, image: Image, error: type[Exception]) -> None:
    with pytest.raises(error):
        await pictures.get(image)


async def test_a_missing_file_is_looked_for_again(pictures: Pictures, tmp_path: Path) -> None:
    image = at(tmp_path / "red.png", RED)
    (tmp_path / "red.png").unlink()
    with pytest.raises(NotFound):
        await pictures.get(image)
    (tmp_path / "red.png").write_bytes(RED)
    assert (await pictures.get(image)).data == RED
