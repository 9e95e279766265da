"""What keeps a busy service answering: bursts are let in bit by bit, requests held are bounded, refusals say for how long."""

from __future__ import annotations

import asyncio

import pytest

from rlaifv.core.errors import InvalidInput, Overloaded, Unavailable
from rlaifv.rpc.backlog import Backlog
from rlaifv.rpc.errors import RETRY_AFTER_KEY, from_status, retry_after_ms, told_retry_after_ms
from rlaifv.rpc.turnstile import Turnstile


class Clock:
    """Time that passes when it is told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_a_call_alone_passes_at_once() -> None:
    turnstile = Turnstile()
    passing = asyncio.ensure_future(turnstile.pass_through())
    await asyncio.sleep(0)
    assert passing.done()
    assert len(turnstile) == 0


async def test_while_a_burst_arrives_few_are_let_in_and_then_all_in_their_order() -> None:
    turnstile, let_in = Turnstile(), []

    async def call(number: int) -> None:
        await turnstile.pass_through()
        let_in.append(number)

    calls = [asyncio.create_task(call(number)) for number in range(500)]
    await asyncio.sleep(0)
    assert let_in == [0]
    assert len(turnstile) == 499
    await asyncio.gather(*calls)
    assert let_in == list(range(500))
    assert len(turnstile) == 0


async def test_a_call_that_is_given_up_while_it_waits_holds_up_nobody() -> None:
    turnstile = Turnstile()
    calls = [asyncio.create_task(turnstile.pass_through()) for _ in range(10)]
    await asyncio.sleep(0)
    for call in calls[3:7]:
        call.cancel()
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(end) for end in ended[3:7]] == [asyncio.CancelledError] * 4
    assert ended[:3] + ended[7:] == [None] * 6
    assert len(turnstile) == 0


def test_requests_are_held_up_to_a_number_of_bytes() -> None:
    backlog = Backlog(100)
    with backlog.holding(60):
        with backlog.holding(40):
            assert (backlog.items, backlog.bytes) == (2, 100)
            with pytest.raises(Overloaded, match="100 bytes of requests wait"), backlog.holding(1):
                raise AssertionError("it was let in")
        assert (backlog.items, backlog.bytes) == (1, 60)
    assert (backlog.items, backlog.bytes) == (0, 0)
    with backlog.holding(1000):
        assert backlog.bytes == 1000, "one alone is always let in"
    with pytest.raises(ValueError, match="broken"), backlog.holding(10):
        raise ValueError("broken")
    assert (backlog.items, backlog.bytes) == (0, 0)


def test_the_pause_follows_from_the_backlog_and_its_pace() -> None:
    clock = Clock()
    backlog = Backlog(10**9, clock)
    waiting = [backlog.holding(1) for _ in range(140)]
    for one in waiting:
        one.__enter__()
    assert backlog.pause_s == 0.2, "nothing is known of its pace yet"
    for one in waiting[:100]:
        clock.now += 0.5
        one.__exit__(None, None, None)
    # 100 of them came 0.5 s apart: the mean has forgotten its beginning but for 0.95 ** 100, and 40 are left.
    assert backlog.pause_s == pytest.approx(40 * 0.5 * (1 - 0.95**100) / 2)
    for one in waiting[100:]:
        one.__exit__(None, None, None)
    assert backlog.pause_s == 0.2


def test_what_a_full_queue_refuses_says_nothing_about_the_pace() -> None:
    clock = Clock()
    backlog = Backlog(10**9, clock)
    with backlog.holding(1):
        clock.now += 3
        for _ in range(50):
            with pytest.raises(Overloaded), backlog.holding(1):
                raise Overloaded("full")
    with backlog.holding(1):
        clock.now += 3
    assert backlog._between_s == pytest.approx(3 * (1 - 0.95**2))


def test_the_hint_is_the_errors_own_or_the_backlogs() -> None:
    backlog = Backlog(10**9)
    assert retry_after_ms(Overloaded("full", retry_after_s=1.5), backlog) == 1500
    assert retry_after_ms(Overloaded("full"), backlog) == 200
    assert retry_after_ms(Unavailable("away"), backlog) == 1000
    assert retry_after_ms(InvalidInput("wrong"), backlog) == 0


def test_a_hint_goes_there_and_back() -> None:
    assert from_status(8, "full", 1500).retry_after_s == 1.5
    assert from_status(8, "full").retry_after_s is None
    assert told_retry_after_ms([("other", "1"), (RETRY_AFTER_KEY, "250")]) == 250
    assert told_retry_after_ms(None) == 0
    for nonsense in ("soon", "-5", "", "1e9", b"\xff"):
        assert told_retry_after_ms([(RETRY_AFTER_KEY, nonsense)]) == 0
    assert told_retry_after_ms([(RETRY_AFTER_KEY, "9" * 30)]) == 3_600_000
