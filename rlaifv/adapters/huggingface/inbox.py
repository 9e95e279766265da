"""A bounded queue between the event loop and the one thread that owns a model."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from rlaifv.core.errors import Overloaded, RlaifvError, Unavailable
from rlaifv.core.outcomes import Outcome

Item = TypeVar("Item")
Value = TypeVar("Value")


@dataclass(slots=True, eq=False)
class Ticket(Generic[Item, Value]):
    """An accepted item; `deliver` is called once, from the worker's thread, unless `cancelled` was set before."""

    item: Item
    item_id: str
    deliver: Callable[[Outcome[Value]], None]
    cancelled: bool = False

    def succeed(self, value: Value) -> None:
        if not self.cancelled:
            self.deliver(Outcome(item_id=self.item_id, value=value))

    def fail(self, error: RlaifvError) -> None:
        if not self.cancelled:
            self.deliver(Outcome(item_id=self.item_id, error=error))


class Inbox(Generic[Item, Value]):
    """At most `max_waiting` tickets wait; what was accepted before `close` is still handed out."""

    def __init__(self, max_waiting: int) -> None:
        self._max_waiting = max_waiting
        self._waiting: deque[Ticket[Item, Value]] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    def submit(self, item: Item, item_id: str, deliver: Callable[[Outcome[Value]], None]) -> Ticket[Item, Value]:
        """Accept an item. Raises Overloaded if the queue is full, Unavailable after `close`."""
        ticket: Ticket[Item, Value] = Ticket(item=item, item_id=item_id, deliver=deliver)
        with self._changed:
            if self._closed:
                raise Unavailable("the model is being closed; retry")
            if len(self._waiting) >= self._max_waiting:
                raise Overloaded(f"{self._max_waiting} items are waiting already; retry after a pause")
            self._waiting.append(ticket)
            self._changed.notify()
        return ticket

    def take(self, block: bool) -> Ticket[Item, Value] | None:
        """The next ticket that is not cancelled. Without one: None at once, or (`block`) None only once closed."""
        with self._changed:
            while True:
                while self._waiting:
                    ticket = self._waiting.popleft()
                    if not ticket.cancelled:
                        return ticket
                if self._closed or not block:
                    return None
                self._changed.wait()

    def close(self) -> None:
        """Accept nothing more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


Submit = Callable[[Item, Callable[[Outcome[Value]], None]], Ticket[Item, Value]]


async def outcomes(
    items: Sequence[Item], submit: Submit[Item, Value], item_id: Callable[[Item], str]
) -> AsyncIterator[Outcome[Value]]:
    """One outcome per item, as they are done. A full queue slows the caller down; it is an item's error only when nothing of
    this call is in flight. Leaving the iterator early cancels what is not done."""
    loop = asyncio.get_running_loop()
    arrived: asyncio.Queue[Outcome[Value]] = asyncio.Queue()

    def deliver(outcome: Outcome[Value]) -> None:
        # The loop may be gone when a late answer comes; then nobody waits for it either.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(arrived.put_nowait, outcome)

    tickets: list[Ticket[Item, Value]] = []
    waiting, in_flight = deque(items), 0
    try:
        while waiting or in_flight:
            while waiting:
                try:
                    tickets.append(submit(waiting[0], deliver))
                except RlaifvError as error:
                    if isinstance(error, Overloaded) and in_flight:
                        break
                    yield Outcome(item_id=item_id(waiting.popleft()), error=error)
                    continue
                waiting.popleft()
                in_flight += 1
            if in_flight:
                outcome = await arrived.get()
                in_flight -= 1
                yield outcome
    finally:
        for ticket in tickets:
            ticket.cancelled = True
