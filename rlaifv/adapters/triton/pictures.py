"""Pictures on their way to Triton: fetched where the caller gave an address, checked, and kept by their digest.

An address that comes with a digest is read once while the picture is kept. One without a digest is read for every item, for
what it shows may change; items that wait for it at the same time share one reading.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from rlaifv.adapters.images import ImageSources, check_header, fetch
from rlaifv.core.images import Image

_READERS: Final = 8
"""Addresses that are read at once; a slow one must not hold up the others."""

_LARGE_BYTES: Final = 1 << 20
"""From here on hashing takes milliseconds, which the event loop does not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Encoded bytes whose header is that of a picture within the limits, and their SHA-256."""

    data: bytes = field(repr=False)
    sha256: str


class Pictures:
    """Reads images as `sources` allow, and keeps at most `max_bytes` of those that came from an address."""

    def __init__(self, sources: ImageSources, max_bytes: int) -> None:
        self._sources = sources
        self._max_bytes = max_bytes
        self._kept: OrderedDict[str, Picture] = OrderedDict()
        self._coming: dict[Image, asyncio.Future[Picture]] = {}
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="pictures")
        self.bytes = 0

    async def get(self, image: Image) -> Picture:
        """The picture. Errors as `images.fetch`, and as `images.decode` for what a header shows."""
        if image.data:
            if len(image.data) < _LARGE_BYTES:
                return self._read(image)
            return await asyncio.to_thread(self._read, image)
        kept = self._kept.get(image.sha256)
        if kept is not None:
            self._kept.move_to_end(image.sha256)
            return kept
        return await self._fetched(image)

    async def close(self) -> None:
        """Forget what is kept; what is being read ends by itself."""
        self._kept.clear()
        await asyncio.to_thread(self._readers.shutdown, wait=False, cancel_futures=True)

    async def _fetched(self, image: Image) -> Picture:
        reading = self._coming.get(image)
        if reading is None:
            reading = asyncio.get_running_loop().run_in_executor(self._readers, self._read, image)
            self._coming[image] = reading
            reading.add_done_callback(lambda done: self._arrived(image, done))
        # Shielded: others may wait for the same reading.
        return await asyncio.shield(reading)

    def _arrived(self, image: Image, reading: asyncio.Future[Picture]) -> None:
        self._coming.pop(image, None)
        if reading.cancelled() or reading.exception() is not None or not image.sha256:
            return
        picture = reading.result()
        if picture.sha256 in self._kept or len(picture.data) > self._max_bytes:
            return
        self._kept[picture.sha256] = picture
        self.bytes += len(picture.data)
        while self.bytes > self._max_bytes:
            self.bytes -= len(self._kept.popitem(last=False)[1].data)

    def _read(self, image: Image) -> Picture:
        data = fetch(image, self._sources)
        check_header(data, self._sources.limits)
        return Picture(data=data, sha256=image.sha256 or hashlib.sha256(data).hexdigest())
