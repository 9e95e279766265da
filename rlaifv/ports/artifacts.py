"""Where a run keeps its files. Names are relative, with `/` between folders."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import IO, Protocol


class Artifacts(Protocol):
    """The files of one run. A write is whole or not there, also after a crash; writing a name again replaces it."""

    def write(self, name: str, data: bytes) -> None:
        """Put `data` under `name`. Raises StorageFull if there is no room; then the former content is still there."""
        ...

    def writing(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """As `write`, for what is too large to be held in memory: a file to fill within the block."""
        ...

    def append(self, name: str, data: bytes) -> None:
        """Add `data` at the end of `name`, for logs: after a crash the last line may be torn. Raises StorageFull."""
        ...

    def read(self, name: str) -> bytes:
        """The content of `name`. Raises NotFound."""
        ...

    def exists(self, name: str) -> bool:
        """Whether `name` has been written."""
        ...

    def uri(self, name: str) -> str:
        """The address of the file or folder `name` for other services."""
        ...
