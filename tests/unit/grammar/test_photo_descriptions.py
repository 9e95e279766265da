"""Precision and recall on hand-written photo descriptions must not fall."""

from __future__ import annotations

import pytest

from bench.decomposer_quality import Case, Tally, found_claims, load, measure
from rlaifv.adapters.grammar import GrammarDecomposer

FLOORS = {"photos": (0.98, 0.98), "held_out": (0.92, 0.88)}
BY_TYPE = {"object": 0.97, "attribute": 0.97, "count": 0.97, "relation": 0.95, "action": 0.95, "text": 0.80}


@pytest.mark.parametrize("case", load("core"), ids=lambda case: case.answer[:50])
def test_core_answers_are_divided_exactly(decomposer: GrammarDecomposer, case: Case) -> None:
    assert found_claims(decomposer, [case]) == [case.claims]


@pytest.mark.parametrize("name", FLOORS)
def test_overall_floor(decomposer: GrammarDecomposer, name: str) -> None:
    tally = measure(decomposer, load(name))["all"]
    precision, recall = FLOORS[name]
    assert tally.precision >= precision
    assert tally.recall >= recall


def test_floor_by_type(decomposer: GrammarDecomposer) -> None:
    tallies = measure(decomposer, load("photos"))
    below = {kind: tallies[kind] for kind, floor in BY_TYPE.items() if tallies[kind].f1 < floor}
    assert not below


def test_there_are_enough_answers_and_none_twice() -> None:
    sets = {name: [c.answer for c in load(name)] for name in ("core", "photos", "held_out")}
    everything = [answer for answers in sets.values() for answer in answers]
    assert len(everything) >= 180
    assert len(sets["held_out"]) >= 40
    assert len(set(everything)) == len(everything)


def test_tallies() -> None:
    tally = Tally(right=6, wrong=2, missed=4)
    assert tally.precision == 0.75
    assert tally.recall == 0.6
    assert round(tally.f1, 4) == 0.6667
    assert Tally().f1 == 1.0
