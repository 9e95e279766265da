"""Packs by hand and as properties: every answer token is scored once, and what it is scored from is the sequence before it."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlaifv.learning.packing import Forest, Pack, Span, grow, lay_out, packs
from rlaifv.learning.sequences import TokenSequence, join
from rlaifv.learning.tree_attention import dense_mask

END = 2


def example() -> Forest:
    """The pack that the module's docstring draws."""
    return grow([join([5, 6, 7], [8, 8], END), join([5, 6, 7], [9], END), join([4, 4], [3], END)], ["p", "p", "q"])


def test_a_pack_by_hand() -> None:
    forest = example()
    pack = lay_out(forest.trees)
    assert pack.ids.tolist() == [5, 6, 7, 8, 8, 9, 4, 4, 3]
    assert pack.positions.tolist() == [0, 1, 2, 3, 4, 3, 0, 1, 2]
    assert pack.targets.tolist() == [8, 8, END, 9, END, 3, END]
    assert pack.predictors.tolist() == [2, 3, 4, 2, 5, 7, 8]
    assert pack.owners.tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert pack.spans == (Span(start=0, prompt=3, branches=(2, 1)), Span(start=6, prompt=2, branches=(1,)))
    assert [run for span in pack.spans for run in span.runs()] == [slice(3, 5), slice(5, 6), slice(8, 9)]
    assert pack.lineage[0].tolist() == [0] * 6 + [1] * 3
    assert pack.lineage[1].tolist() == [-1, -1, -1, 0, 0, 1, -1, -1, 2]


def test_who_attends_to_whom_by_hand() -> None:
    stated = """
        x........
        xx.......
        xxx......
        xxxx.....
        xxxxx....
        xxx..x...
        ......x..
        ......xx.
        ......xxx
    """
    found = dense_mask(*lay_out(example().trees).lineage)
    assert ["".join(".x"[int(one)] for one in row) for row in found.tolist()] == stated.split()


def test_an_answer_of_two_pairs_is_one_branch_and_one_of_two_prompts_is_not() -> None:
    sequences = [join([1], [5], END), join([1], [6], END), join([1], [5], END), join([3], [5], END)]
    forest = grow(sequences, ["a", "a", "a", "a"])
    assert forest.branches == (0, 1, 0, 2)
    assert [len(tree.answers) for tree in forest.trees] == [2, 1]
    assert grow(sequences[:3], ["a", "a", "b"]).branches == (0, 1, 2)


def test_an_empty_answer_is_predicted_and_takes_no_token() -> None:
    pack = lay_out(grow([join([1, 3], [], END), join([1, 3], [4], END)], ["a", "a"]).trees)
    assert pack.ids.tolist() == [1, 3, 4]
    assert pack.predictors.tolist() == [1, 1, 2]
    assert pack.targets.tolist() == [END, 4, END]


def test_trees_go_on_in_the_next_pack_and_a_large_one_is_divided() -> None:
    sequences = [join([1] * 4, [answer] * 3, END) for answer in (5, 6, 7)] + [join([3] * 9, [8] * 9, END)]
    found = list(packs(grow(sequences, list("aaab")), most_tokens=10))
    assert [pack.tokens for pack in found] == [10, 7, 18]
    assert [pack.owners.unique().tolist() for pack in found] == [[0, 1], [2], [3]]
    assert [tree.prompt[0] for pack in found for tree in pack.trees] == [1, 1, 3]


ids = st.integers(3, 6)
prompts = st.lists(ids, min_size=1, max_size=6)
answers = st.lists(ids, max_size=5)


@st.composite
def forests(draw: st.DrawFn) -> tuple[list[TokenSequence], list[str]]:
    """Sequences over few prompts, so that prompts and answers come several times."""
    bases = draw(st.lists(prompts, min_size=1, max_size=4))
    count = draw(st.integers(1, 10))
    sequences = [join(draw(st.sampled_from(bases)), draw(answers), END) for _ in range(count)]
    return sequences, [draw(st.sampled_from("ab")) for _ in sequences]


@given(drawn=forests(), most_tokens=st.integers(1, 40))
def test_every_answer_is_scored_once_from_all_that_is_before_it(
    drawn: tuple[list[TokenSequence], list[str]], most_tokens: int
) -> None:
    sequences, keys = drawn
    forest = grow(sequences, keys)
    scored: dict[int, list[tuple[tuple[int, ...], int]]] = {}
    key_of: dict[int, object] = {}
    for pack in packs(forest, most_tokens):
        mask = dense_mask(*pack.lineage)
        for predictor, target, owner in zip(
            pack.predictors.tolist(), pack.targets.tolist(), pack.owners.tolist(), strict=True
        ):
            seen = tuple(pack.ids[mask[predictor]].tolist())
            assert pack.positions[mask[predictor]].tolist() == list(range(len(seen)))
            scored.setdefault(owner, []).append((seen, target))
            key_of[owner] = next(tree.key for tree in reversed(pack.trees) if tree.first_branch <= owner)
    assert sorted(scored) == list(range(len(forest)))
    for sequence, key, branch in zip(sequences, keys, forest.branches, strict=True):
        at = range(sequence.answer_start, len(sequence.ids))
        assert scored[branch] == [(sequence.ids[:end], sequence.ids[end]) for end in at]
        assert key_of[branch] == key
    distinct = {(key, sequence) for sequence, key in zip(sequences, keys, strict=True)}
    assert len(forest) == len(distinct)


@given(drawn=forests(), most_tokens=st.integers(1, 40))
def test_packs_are_full_and_hold_no_more_than_they_may(
    drawn: tuple[list[TokenSequence], list[str]], most_tokens: int
) -> None:
    made: list[Pack] = list(packs(grow(*drawn), most_tokens))
    for pack in made:
        assert pack.tokens <= most_tokens or sum(len(tree.answers) for tree in pack.trees) == 1
        assert pack.tokens == len(pack.ids) == sum(tree.tokens for tree in pack.trees) == pack.spans[-1].end
    for one, following in pairwise(made):
        assert one.tokens + following.trees[0].tokens > most_tokens


@pytest.mark.parametrize("most_tokens", [1, 8, 1000])
def test_the_order_of_branches_is_that_of_the_forest(most_tokens: int) -> None:
    found = torch.cat([pack.owners for pack in packs(example(), most_tokens)])
    assert found.tolist() == sorted(found.tolist())
