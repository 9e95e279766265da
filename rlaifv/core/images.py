"""An image as it travels: bytes or a URI, named by the SHA-256 of its bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from rlaifv.core.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An encoded picture (PNG, JPEG, WebP …): its bytes, or a URI that the receiver fetches.

    `sha256` is the lower-case hex digest of the bytes. It may be empty only beside a URI, whose bytes the sender has not read.
    """

    data: bytes = field(default=b"", repr=False)
    uri: str = ""
    sha256: str = ""

    def __post_init__(self) -> None:
        if bool(self.data) == bool(self.uri):
            raise InvalidInput("image: exactly one of data and uri must be given, and data must not be empty")

    @classmethod
    def of(cls, data: bytes) -> Image:
        """The image whose encoded bytes are `data`; raises InvalidInput for 0 bytes."""
        if not data:
            raise InvalidInput("image.data has 0 bytes: send the bytes of an encoded picture (PNG, JPEG, WebP …)")
        return cls(data=data, sha256=hashlib.sha256(data).hexdigest())
