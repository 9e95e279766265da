"""Many answers to few prompts as flat sequences without padding: every prompt once, its distinct answers as branches behind it.

    sequences       p p p a a E | p p p b E | q q c E          (a, b, c: answers; E: end of sequence)
    pack of trees   p p p a a b | q q c
    positions       0 1 2 3 4 3 | 0 1 2

A branch sees its prompt and itself, nothing else, so that its log-probability is that of the sequence alone. The last token of an
answer is predicted, never read: it is in no pack.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from rlaifv.learning.sequences import TokenSequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A prompt and answers that go on from it, their ends of sequence included. `first_branch` is the number of its first answer.

    `key` tells prompts with the same ids apart (their pictures differ).
    """

    key: Hashable
    prompt: tuple[int, ...]
    answers: tuple[tuple[int, ...], ...]
    first_branch: int

    @property
    def tokens(self) -> int:
        """How many tokens it takes in a pack."""
        return len(self.prompt) + sum(len(answer) - 1 for answer in self.answers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forest:
    """The trees of some sequences. `branches[i]` is the number of the branch that is sequence i, from 0 over all trees."""

    trees: tuple[Tree, ...]
    branches: tuple[int, ...]

    def __len__(self) -> int:
        """How many branches there are."""
        return sum(len(tree.answers) for tree in self.trees)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Where a tree lies in a pack: `prompt` tokens from `start`, then a run of tokens for each branch (maybe none)."""

    start: int
    prompt: int
    branches: tuple[int, ...]

    @property
    def fork(self) -> int:
        """Where the first branch begins."""
        return self.start + self.prompt

    @property
    def end(self) -> int:
        return self.fork + sum(self.branches)

    def runs(self) -> Iterator[slice]:
        """Where every branch lies that has tokens."""
        begin = self.fork
        for tokens in self.branches:
            if tokens:
                yield slice(begin, begin + tokens)
            begin += tokens


@dataclass(frozen=True, kw_only=True)
class Pack:
    """Trees one after the other in one sequence; all tensors are on the CPU.

    `ids` and `positions` have shape (tokens,), positions being those within a tree. `predictors`, `targets` and `owners` have one
    entry for each answer token: the index of the token that predicts it, its id, and the number of its branch.
    """

    trees: tuple[Tree, ...]
    spans: tuple[Span, ...]
    ids: Tensor = field(repr=False)
    positions: Tensor = field(repr=False)
    predictors: Tensor = field(repr=False)
    targets: Tensor = field(repr=False)
    owners: Tensor = field(repr=False)

    @property
    def tokens(self) -> int:
        return len(self.ids)

    @cached_property
    def lineage(self) -> tuple[Tensor, Tensor]:
        """By token: the number of its tree, and of its branch within the pack (-1 for a prompt), each of shape (tokens,)."""
        tree, branch, number = torch.empty_like(self.ids), torch.full_like(self.ids, -1), 0
        for at, span in enumerate(self.spans):
            tree[span.start : span.end] = at
            for run in span.runs():
                branch[run] = number
                number += 1
        return tree, branch


def grow(sequences: Sequence[TokenSequence], keys: Sequence[Hashable]) -> Forest:
    """One tree for each key and prompt, in order of appearance; equal answers to one prompt become one branch."""
    found: dict[tuple[Hashable, tuple[int, ...]], dict[tuple[int, ...], list[int]]] = {}
    for number, (sequence, key) in enumerate(zip(sequences, keys, strict=True)):
        prompt, answer = sequence.ids[: sequence.answer_start], sequence.ids[sequence.answer_start :]
        found.setdefault((key, prompt), {}).setdefault(answer, []).append(number)
    trees, branches, first = [], [0] * len(sequences), 0
    for (key, prompt), answers in found.items():
        trees.append(Tree(key=key, prompt=prompt, answers=tuple(answers), first_branch=first))
        for branch, numbers in enumerate(answers.values(), start=first):
            for number in numbers:
                branches[number] = branch
        first += len(answers)
    return Forest(trees=tuple(trees), branches=tuple(branches))


def packs(forest: Forest, most_tokens: int) -> Iterator[Pack]:
    """The trees in order, as many in a pack as fit into `most_tokens`.

    A tree that does not fit is divided between its branches, its prompt repeated; a single branch is never cut, however long.
    """
    waiting: list[Tree] = []
    for tree in forest.trees:
        for piece in _pieces(tree, most_tokens):
            if waiting and sum(other.tokens for other in waiting) + piece.tokens > most_tokens:
                yield lay_out(waiting)
                waiting = []
            waiting.append(piece)
    if waiting:
        yield lay_out(waiting)


def lay_out(trees: Sequence[Tree]) -> Pack:
    """The trees as one pack."""
    ids: list[int] = []
    positions: list[int] = []
    predictors: list[int] = []
    targets: list[int] = []
    owners: list[int] = []
    spans = []
    for tree in trees:
        start, prompt = len(ids), len(tree.prompt)
        spans.append(Span(start=start, prompt=prompt, branches=tuple(len(answer) - 1 for answer in tree.answers)))
        ids += tree.prompt
        positions += range(prompt)
        for owner, answer in enumerate(tree.answers, start=tree.first_branch):
            predictors += [start + prompt - 1, *range(len(ids), len(ids) + len(answer) - 1)]
            targets += answer
            owners += [owner] * len(answer)
            ids += answer[:-1]
            positions += range(prompt, prompt + len(answer) - 1)
    columns = (torch.tensor(column, dtype=torch.long) for column in (ids, positions, predictors, targets, owners))
    names = ("ids", "positions", "predictors", "targets", "owners")
    return Pack(trees=tuple(trees), spans=tuple(spans), **dict(zip(names, columns, strict=True)))


def _pieces(tree: Tree, most_tokens: int) -> Iterator[Tree]:
    begin, room = 0, most_tokens - len(tree.prompt)
    for at, answer in enumerate(tree.answers):
        if room < len(answer) - 1 and at > begin:
            yield _part(tree, begin, at)
            begin, room = at, most_tokens - len(tree.prompt)
        room -= len(answer) - 1
    yield _part(tree, begin, len(tree.answers))


def _part(tree: Tree, begin: int, end: int) -> Tree:
    return Tree(
        key=tree.key, prompt=tree.prompt, answers=tree.answers[begin:end], first_branch=tree.first_branch + begin
    )
