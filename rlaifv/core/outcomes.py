"""One bad item never fails its neighbours: streams yield an outcome per item, in any order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from rlaifv.core.errors import RlaifvError

T = TypeVar("T")


# No slots: Outcome[X](...) makes typing set __orig_class__, which a frozen class with slots answers with TypeError.
@dataclass(frozen=True, kw_only=True)
class Outcome(Generic[T]):
    """What became of the item `item_id`: exactly one of `value` and `error` is set."""

    item_id: str
    value: T | None = None
    error: RlaifvError | None = None

    def __post_init__(self) -> None:
        if (self.value is None) == (self.error is None):
            raise ValueError(f"outcome of {self.item_id!r} needs exactly one of value and error")

    def unwrap(self) -> T:
        """The value; raises the item's own error if it failed."""
        if self.error is not None:
            raise self.error
        assert self.value is not None
        return self.value
