"""How clients wait for a service that is full or away: as long as it asks, spread at random, and not for ever."""

from __future__ import annotations

import pytest

from rlaifv.adapters.remote.connection import Patience
from rlaifv.core.errors import Overloaded, Unavailable


def test_the_services_own_hint_is_honoured_and_spread() -> None:
    pauses = [Patience(60).next_pause_s(Overloaded("full", retry_after_s=4)) for _ in range(200)]
    assert all(4 <= pause <= 6 for pause in pauses)
    assert max(pauses) - min(pauses) > 1, "all clients would come back at once"


def test_without_a_hint_pauses_grow_to_a_bound() -> None:
    patience = Patience(10_000)
    pauses = [patience.next_pause_s(Unavailable("away")) for _ in range(20)]
    assert pauses[0] <= 0.1
    assert all(2.5 <= pause <= 5 for pause in pauses[-5:])


def test_patience_ends() -> None:
    assert Patience(0.5).next_pause_s(Overloaded("full", retry_after_s=100)) <= 0.5
    with pytest.raises(Overloaded, match="full"):
        Patience(0).next_pause_s(Overloaded("full", retry_after_s=1))


def test_a_service_that_cannot_be_reached_may_get_less_than_one_that_asks_to_come_again() -> None:
    patience = Patience(60, away_s=0)
    assert patience.next_pause_s(Unavailable("loading", retry_after_s=1)) >= 1
    with pytest.raises(Unavailable, match="cannot be reached"):
        patience.next_pause_s(Unavailable("cannot be reached"))
