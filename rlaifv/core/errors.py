"""The one error family.

RlaifvError
├── InvalidInput        the caller's fault: change the request, do not retry
├── NotFound            the caller's fault: the named thing does not exist
├── AlreadyExists       the caller's fault: the name is taken by something else
├── Conflict            the caller's fault: right request, wrong state (a stamp that does not match, a run that is over)
├── TooLarge            the caller's fault: over a stated limit
├── Cancelled           nobody's fault: somebody asked to stop
├── DeadlineExceeded    nobody's fault: took longer than the caller waits; retry with more time
├── Overloaded          the server's state: retry after a pause
├── Unavailable         the server's state: down, starting or draining; retry
├── StorageFull         the operator's: no room to write; free some, then resume
├── DataLoss            the operator's: a file is damaged and nothing older could stand in
└── BackendFailed       ours or a model's fault: report it
"""

from __future__ import annotations


class RlaifvError(Exception):
    """Base of every error this project raises on purpose; `message` is fit to show to a user.

    `retry_after_s` is set where the server said how long to stay away before asking again, seconds.
    """

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_s = retry_after_s


class InvalidInput(RlaifvError):
    """A value is wrong; the message names the field, the value and the remedy."""

    @classmethod
    def field(cls, name: str, value: object, remedy: str) -> InvalidInput:
        """`name` had `value`; `remedy` says what would be accepted. Long values are abbreviated to 80 characters."""
        shown = repr(value)
        if len(shown) > 80:
            shown = f"{shown[:77]}..."
        return cls(f"{name} = {shown}: {remedy}")


class NotFound(RlaifvError):
    """The named run, file, model or version does not exist."""


class AlreadyExists(RlaifvError):
    """The name is taken by something with other content."""


class Conflict(RlaifvError):
    """The request does not fit the present state."""


class TooLarge(RlaifvError):
    """The input is over a stated limit; the message names the limit."""


class Cancelled(RlaifvError):
    """The work was stopped on request."""


class DeadlineExceeded(RlaifvError):
    """The work took longer than the caller waits."""


class Overloaded(RlaifvError):
    """A bounded queue is full; retry after a pause."""


class Unavailable(RlaifvError):
    """The service is down, starting or draining; retry."""


class StorageFull(RlaifvError):
    """There is no room left to write; what was complete before is kept."""


class DataLoss(RlaifvError):
    """A stored artifact is damaged and nothing older can stand in for it."""


class BackendFailed(RlaifvError):
    """A model or library failed in a way that the request does not explain."""
