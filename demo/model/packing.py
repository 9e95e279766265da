"""Many answers about one picture in one sequence: a shared image prefix, then one branch per exchange.

Every branch sees the prefix and itself only, at the positions it would have alone, so one pass over the picture serves a
caption and all its questions.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast

from demo.model.architecture import IMAGE_TOKENS
from demo.world.captions import PROMPTS, caption, noisy_mentions
from demo.world.questions import ask, with_suffix
from demo.world.scenes import WorldScene

CAPTION = "caption"
_PREFIX_BRANCH = 0
_PADDING_BRANCH = -1
_HIDDEN = -1e4


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What is asked of a picture and what is to be answered."""

    request: str
    reply: str
    type: str
    """CAPTION or the claim type of a yes/no question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A batch of sequences; all tensors (n, length) but the mask."""

    ids: Tensor
    positions: Tensor
    mask: Tensor
    """(n, 1, length, length), True where a token may look."""
    targets: Tensor
    """The token that follows, where it is part of a reply; -100 elsewhere."""
    branches: Tensor
    """0 for the prefix, then 1, 2, … in the order of the exchanges; -1 for padding."""
    verdicts: Tensor
    """True where the target is the yes or no of a question."""
    types: list[list[str]]
    """Claim type of every question by row, in the order of the verdicts."""


class Packer:
    """Turns scenes into packed batches."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._tokenizer = tokenizer
        self._cache: dict[str, list[int]] = {}
        image = tokenizer.convert_tokens_to_ids("<image>")
        self._prefix = [*self._tokens("<s><user>"), *[image] * IMAGE_TOKENS]
        self._reply_opening = self._tokens("<assistant>")
        self._reply_end = self._tokens("</s>")
        self.image_id = image

    def token(self, word: str) -> int:
        """The one token of a reply's first word."""
        return self._tokens(word)[0]

    def exchanges(self, scene: WorldScene, rng: random.Random, rounds: int) -> list[Exchange]:
        """One caption of habit and `rounds` of truthfully answered questions (about seven each)."""
        groups, prompt = scene.groups(), rng.choice(PROMPTS)
        said = caption(noisy_mentions(groups, rng), prompt, rng)
        return [
            Exchange(request=prompt, reply=said, type=CAPTION),
            *(
                Exchange(request=with_suffix(q.text, rng), reply="Yes" if q.answer else "No", type=q.type.value)
                for q in ask(groups, rng, rounds)
            ),
        ]

    def pack(self, rows: Sequence[Sequence[Exchange]]) -> Packed:
        """One sequence per picture."""
        sequences = [self._sequence(row) for row in rows]
        length = max(len(sequence[0]) for sequence in sequences)
        fill = (0, 0, _PADDING_BRANCH, -100, 0)
        ids, positions, branches, targets, verdicts = (
            torch.tensor([sequence[field] + [fill[field]] * (length - len(sequence[field])) for sequence in sequences])
            for field in range(5)
        )
        same = branches[:, :, None] == branches[:, None, :]
        shared = (branches == _PREFIX_BRANCH)[:, None, :]
        mask = ((same | shared) & torch.ones(length, length, dtype=torch.bool).tril())[:, None]
        types = [[exchange.type for exchange in row if exchange.type != CAPTION] for row in rows]
        return Packed(
            ids=ids,
            positions=positions,
            mask=mask,
            targets=targets,
            branches=branches,
            verdicts=verdicts.bool(),
            types=types,
        )

    def _sequence(self, exchanges: Sequence[Exchange]) -> tuple[list[int], list[int], list[int], list[int], list[int]]:
        start = len(self._prefix)
        ids, positions = list(self._prefix), list(range(start))
        branches, targets, verdicts = [_PREFIX_BRANCH] * start, [-100] * start, [0] * start
        for branch, exchange in enumerate(exchanges, start=1):
            request = [*self._tokens(exchange.request), *self._reply_opening]
            reply = [*self._tokens(exchange.reply), *self._reply_end]
            ids += request + reply[:-1]
            size = len(request) + len(reply) - 1
            positions += range(start, start + size)
            branches += [branch] * size
            targets += [-100] * (len(request) - 1) + reply
            verdicts += [0] * (len(request) - 1) + [exchange.type != CAPTION] + [0] * (len(reply) - 1)
        return ids, positions, branches, targets, verdicts

    def _tokens(self, text: str) -> list[int]:
        if text not in self._cache:
            self._cache[text] = self._tokenizer.encode(text, add_special_tokens=False)
        return self._cache[text]


def reply_logits(model: LlavaForConditionalGeneration, packed: Packed, features: Tensor, image_id: int) -> Tensor:
    """Scores of the next token wherever `packed.targets` asks for one: (targets, vocabulary), row by row."""
    embedded = model.get_input_embeddings()(packed.ids)
    pictured = packed.ids == image_id
    embedded = embedded.masked_scatter(pictured[..., None], features.to(embedded.dtype))
    hidden = model.model.language_model(
        inputs_embeds=embedded,
        attention_mask=(~packed.mask).float() * _HIDDEN,
        position_ids=packed.positions,
        use_cache=False,
    ).last_hidden_state
    logits: Tensor = model.lm_head(hidden[packed.targets != -100])
    return logits
