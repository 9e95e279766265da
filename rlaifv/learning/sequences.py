"""Prompt and answer as one sequence of token ids, with a mask that says which tokens are learned from.

The mask comes from where the parts were joined, never from searching the text for separators: the published code trains on
nothing where an answer contains " ASSISTANT: " (reference fault 10).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rlaifv.core.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSequence:
    """`ids` is prompt (image placeholders included) + answer + end of sequence; the answer begins at `answer_start`."""

    ids: tuple[int, ...]
    answer_start: int

    @property
    def answer_tokens(self) -> int:
        """How many tokens are learned from, the end of sequence included."""
        return len(self.ids) - self.answer_start


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceBatch:
    """Sequences padded on the right.

    `ids`, `attention` and `position_ids` have shape (sequences, tokens). `answer` is True at every position whose token
    belongs to an answer (never at prompt, image or padding); it is False in column 0.
    """

    ids: Tensor
    attention: Tensor
    position_ids: Tensor
    answer: Tensor

    @property
    def targets(self) -> Tensor:
        """Ids of all answer tokens, row by row, shape (answer tokens,)."""
        return self.ids[self.answer]

    @property
    def predictors(self) -> Tensor:
        """True at the positions whose output predicts an answer token: `answer`, one column earlier."""
        return torch.cat([self.answer[:, 1:], torch.zeros_like(self.answer[:, :1])], dim=1)


def join(prompt: Sequence[int], answer: Sequence[int], end_of_sequence: int) -> TokenSequence:
    """The sequence the policy would have produced: prompt, answer, and the token with which it ends an answer.

    Raises InvalidInput for an empty prompt: then nothing predicts the first answer token.
    """
    if not prompt:
        raise InvalidInput.field("prompt", prompt, "has no tokens; the chat template gave an empty prompt")
    return TokenSequence(ids=(*prompt, *answer, end_of_sequence), answer_start=len(prompt))


def collate(sequences: Sequence[TokenSequence], pad: int) -> SequenceBatch:
    """One batch; `pad` may be any valid id, padded positions are neither attended to nor learned from."""
    width = max(len(sequence.ids) for sequence in sequences)
    ids = torch.full((len(sequences), width), pad, dtype=torch.long)
    attention = torch.zeros((len(sequences), width), dtype=torch.long)
    answer = torch.zeros((len(sequences), width), dtype=torch.bool)
    for row, sequence in enumerate(sequences):
        length = len(sequence.ids)
        ids[row, :length] = torch.tensor(sequence.ids, dtype=torch.long)
        attention[row, :length] = 1
        answer[row, sequence.answer_start : length] = True
    positions = torch.arange(width).expand(len(sequences), width)
    return SequenceBatch(ids=ids, attention=attention, position_ids=positions, answer=answer)
