"""The length filter: the published search for the best cut, without its divisions by zero."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rlaifv.core.drops import DropReason
from rlaifv.core.length_balance import CUTS, balance_lengths
from rlaifv.core.pairs import PreferencePair
from tests.unit.core.scored import scored


def pair(chosen_words: int, rejected_words: int, number: int = 0) -> PreferencePair:
    return PreferencePair(
        prompt_id="p",
        chosen=scored(0, 0, " ".join([f"c{number}"] * chosen_words)),
        rejected=scored(1, -1, " ".join([f"r{number}"] * rejected_words)),
    )


def test_cuts_are_the_published_ones() -> None:
    assert CUTS[:3] == (0.0, 0.02, 0.04)
    assert CUTS[-1] == 0.98
    assert len(CUTS) == 50


def test_the_cut_that_brings_means_together_wins() -> None:
    # Shortfalls: 0.5 and 0.1 and -0.2. Without the first: (9 + 12) / (10 + 10) = 1.05; with it 26 / 30; only the last: 1.2.
    balanced = balance_lengths([pair(5, 10), pair(9, 10), pair(12, 10)])
    assert [len(p.chosen.candidate.text.split()) for p in balanced.pairs] == [9, 12]
    assert balanced.cut == 0.1
    assert balanced.drops == {DropReason.LENGTH_BALANCE: 1}


def test_mean_lengths_are_those_of_kept_pairs() -> None:
    """Reference fault 5: lengths of dropped pairs were added, then divided by the kept ones (16.0 for a true 4.0)."""
    balanced = balance_lengths([pair(4, 4), pair(1, 60)])
    assert (balanced.mean_chosen_words, balanced.mean_rejected_words) == (4.0, 4.0)


def test_longer_chosen_answers_are_never_dropped() -> None:
    assert len(balance_lengths([pair(20, 10), pair(30, 10)]).pairs) == 2


def test_no_pairs_and_empty_rejected_texts_do_not_divide_by_zero() -> None:
    """Reference fault 8."""
    assert balance_lengths([]).pairs == ()
    assert len(balance_lengths([pair(3, 0)]).pairs) == 1
    assert len(balance_lengths([pair(3, 0), pair(0, 9)]).pairs) >= 1


def test_when_every_cut_but_the_last_leaves_nothing_the_pair_is_kept() -> None:
    assert len(balance_lengths([pair(1, 40)]).pairs) == 1


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=12))
def test_kept_pairs_are_a_subsequence_and_the_gap_never_grows(lengths: list[tuple[int, int]]) -> None:
    pairs = [pair(c, r, i) for i, (c, r) in enumerate(lengths)]
    balanced = balance_lengths(pairs)
    remaining = iter(pairs)
    assert all(kept in remaining for kept in balanced.pairs)
    assert len(balanced.pairs) + balanced.drops.get(DropReason.LENGTH_BALANCE, 0) == len(pairs)
    total_c, total_r = sum(c for c, _ in lengths), sum(r for _, r in lengths)
    shortest = max(((r - c) / r for c, r in lengths if r), default=0.0)
    if total_r and shortest <= CUTS[-1]:
        gap = abs(balanced.mean_chosen_words - balanced.mean_rejected_words) / balanced.mean_rejected_words
        assert gap <= abs(total_c - total_r) / total_r + 1e-9
