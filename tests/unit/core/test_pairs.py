"""Pairing: hand-made cases, the faults of the published code, and properties."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaifv.core.drops import DropReason
from rlaifv.core.errors import InvalidInput
from rlaifv.core.pairs import PairRule, prompt_pairs
from tests.unit.core.scored import scored

ALL = PairRule(max_pairs_per_prompt=1000)
score_lists = st.lists(st.integers(-6, 0), min_size=0, max_size=10)


def test_every_difference_of_one_is_a_pair_and_the_higher_is_chosen() -> None:
    pairs, drops = prompt_pairs([scored(0, 0), scored(1, -1), scored(2, -1), scored(3, -3)], ALL, run_seed=0)
    found = {(p.chosen.candidate.index, p.rejected.candidate.index) for p in pairs}
    assert found == {(0, 1), (0, 2), (0, 3), (1, 3), (2, 3)}
    assert drops == {}


def test_equal_scores_give_no_pair_and_are_counted() -> None:
    assert prompt_pairs([scored(0, -2), scored(1, -2)], ALL, 0) == ([], {DropReason.NO_PAIR: 1})


def test_rates_need_their_own_least_difference() -> None:
    candidates = [scored(0, -0.5), scored(1, -0.25)]
    assert prompt_pairs(candidates, ALL, 0)[0] == []
    assert len(prompt_pairs(candidates, PairRule(min_score_difference=0.25), 0)[0]) == 1


def test_at_most_two_pairs_a_prompt_and_the_rest_is_counted() -> None:
    pairs, drops = prompt_pairs([scored(i, -i) for i in range(5)], PairRule(), 0)
    assert len(pairs) == 2
    assert drops == {DropReason.PAIR_CAP: 8}


def test_sampling_is_seeded_and_blind_to_order() -> None:
    """Reference fault 9: three runs of the published code chose three different samples."""
    candidates = [scored(i, -(i % 4)) for i in range(10)]
    expected = prompt_pairs(candidates, PairRule(), 7)
    for trial in range(5):
        shuffled = candidates.copy()
        random.Random(trial).shuffle(shuffled)
        assert prompt_pairs(shuffled, PairRule(), 7) == expected
    others = {tuple(p.id for p in prompt_pairs(candidates, PairRule(), seed)[0]) for seed in range(20)}
    assert len(others) > 5


def test_pairs_do_not_depend_on_the_hash_seed() -> None:
    """Reference fault 9: set order of string ids depended on PYTHONHASHSEED."""
    script = (
        "from tests.unit.core.scored import scored; from rlaifv.core.pairs import PairRule, prompt_pairs;"
        "pairs, _ = prompt_pairs([scored(i, -(i % 3)) for i in range(9)], PairRule(), 3);"
        "import sys; sys.stdout.write(','.join(p.id for p in pairs))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script], env={"PYTHONHASHSEED": seed, "PATH": ""}, check=True, capture_output=True
        ).stdout
        for seed in ("0", "1", "42")
    }
    assert len(outputs) == 1


def test_an_at_sign_in_text_or_id_is_just_a_character() -> None:
    """Reference fault 4: a question containing "@" aborted the whole run."""
    pairs, _ = prompt_pairs([scored(0, 0, "mail me@home", "a@b"), scored(1, -1, "no@", "a@b")], PairRule(), 0)
    assert pairs[0].prompt_id == "a@b"


def test_duplicate_answers_are_folded_and_counted() -> None:
    pairs, drops = prompt_pairs([scored(0, 0, "x"), scored(1, 0, " x "), scored(2, -1, "y")], PairRule(), 0)
    assert [(p.chosen.candidate.index, p.rejected.candidate.index) for p in pairs] == [(0, 2)]
    assert drops == {DropReason.DUPLICATE_ANSWER: 1}


def test_prompts_must_not_be_mixed() -> None:
    with pytest.raises(InvalidInput, match="prompt_id"):
        prompt_pairs([scored(0, 0, prompt_id="p"), scored(1, -1, prompt_id="q")], PairRule(), 0)


@pytest.mark.parametrize(
    ("field", "rule"),
    [("min_score_difference", {"min_score_difference": 0}), ("max_pairs", {"max_pairs_per_prompt": 0})],
)
def test_bad_rules_are_named(field: str, rule: dict[str, int]) -> None:
    with pytest.raises(InvalidInput, match=field):
        PairRule(**rule)


@given(score_lists, st.integers(0, 2**32))
def test_nothing_is_lost(scores: list[int], seed: int) -> None:
    candidates = [scored(i, s) for i, s in enumerate(scores)]
    pairs, drops = prompt_pairs(candidates, PairRule(), seed)
    possible = sum(a != b for i, a in enumerate(scores) for b in scores[:i])
    assert len(pairs) + drops.get(DropReason.PAIR_CAP, 0) == possible
    assert (drops.get(DropReason.NO_PAIR, 0) == 1) == (possible == 0)
    assert all(p.margin >= 1 for p in pairs)
    assert len({p.id for p in pairs}) == len(pairs) <= 2
