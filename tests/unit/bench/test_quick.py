"""The guard's judgement of records, apart from the benches that make them."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec

import pytest

from bench.quick import GUARDS, Guard, check
from bench.results import Comparison

GUARD = Guard(module="bench.one", arguments="", floors=(("plain", 2.0), ("memory", 1.0)))
FAST = Comparison(
    name="one",
    baseline="plain loop",
    baseline_value=1.0,
    ours_value=3.0,
    unit="things/s",
    ratio=3.0,
    equal=True,
    max_abs_diff=0.0,
    dtype="fp32",
    threads=1,
    seed=0,
)
SMALL = replace(FAST, name="one, memory", baseline="TRL", ratio=1.5)


def test_ratios_over_their_floors_pass() -> None:
    assert check(GUARD, [FAST, SMALL]) == []


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([replace(FAST, ratio=1.9), SMALL], "1.90x is under 2.0x"),
        ([FAST, replace(SMALL, equal=False, max_abs_diff=0.5)], "differ by 0.5"),
        ([FAST], "no record about 'memory'"),
    ],
)
def test_what_was_lost_is_named(found: list[Comparison], words: str) -> None:
    (wrong,) = check(GUARD, found)
    assert words in wrong


def test_every_guard_names_a_bench_that_is_there() -> None:
    assert all(find_spec(guard.module) for guard in GUARDS)
