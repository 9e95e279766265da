"""Items worked on at the same time, each outcome given as soon as it is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from rlaifv.core.outcomes import Outcome

Item = TypeVar("Item")
Value = TypeVar("Value")


async def each_outcome(
    items: Sequence[Item], outcome: Callable[[Item], Coroutine[Any, Any, Outcome[Value]]]
) -> AsyncIterator[Outcome[Value]]:
    """`outcome` of every item, in any order. Leaving the iterator early cancels what is not done."""
    tasks = [asyncio.create_task(outcome(item)) for item in items]
    try:
        for task in asyncio.as_completed(tasks):
            yield await task
    finally:
        for one in tasks:
            one.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
