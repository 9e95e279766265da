"""What a service has accepted and not answered yet, and so how long a client that it refuses should stay away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final

from rlaifv.core.errors import Overloaded

MAX_HELD_BYTES: Final = 1024 * 1024 * 1024

_SHORTEST_S: Final = 0.2
_LONGEST_S: Final = 10.0
_NEWEST: Final = 0.05
"""Weight of the newest item in the mean time from one answer to the next: some 20 items are remembered."""


class Backlog:
    """Items at work and the bytes of their requests, at most `max_bytes`, and the pace at which they end."""

    def __init__(self, max_bytes: int, clock: Callable[[], float] = monotonic) -> None:
        self.items = 0
        self.bytes = 0
        self._max_bytes = max_bytes
        self._clock = clock
        self._last_end = 0.0
        self._between_s = 0.0

    @contextmanager
    def holding(self, size: int) -> Iterator[None]:
        """Counts an item whose request has `size` bytes; raises Overloaded where these do not fit.

        One item alone always fits, whatever its size: otherwise it could never be answered.
        """
        if self.items and self.bytes + size > self._max_bytes:
            raise Overloaded(f"{self.bytes} bytes of requests wait to be answered, the most allowed: try again")
        if not self.items:
            # Time in which there was nothing to do says nothing about the pace.
            self._last_end = self._clock()
        self.items += 1
        self.bytes += size
        try:
            yield
        except Overloaded:
            raise  # quickly refused behind us: says nothing about the pace either
        except BaseException:
            self._ended()
            raise
        else:
            self._ended()
        finally:
            self.items -= 1
            self.bytes -= size

    def _ended(self) -> None:
        now = self._clock()
        self._between_s += _NEWEST * (now - self._last_end - self._between_s)
        self._last_end = now

    @property
    def pause_s(self) -> float:
        """When half of what is ahead will have been answered at the pace of late, seconds, 0.2 to 10."""
        return min(_LONGEST_S, max(_SHORTEST_S, self.items * self._between_s / 2))
