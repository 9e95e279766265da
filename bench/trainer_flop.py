"""The floating-point operations without which a DPO job cannot be done: the yardstick for all sides of bench.trainer.

| part      | at every step                                           | once a job (the reference) |
|-----------|---------------------------------------------------------|----------------------------|
| tower     | nothing: it is frozen                                   | forward, once a picture    |
| projector | forward and its weights' gradient, once a picture       | forward, once a picture    |
| decoder   | forward and twice that backward: every prompt once, and | forward                    |
|           | every answer but for its last token; of the last layer  |                            |
|           | keys and values alone where no output is read           |                            |
| head      | forward and twice that backward, for answer tokens only | forward                    |

Attention counts the keys that a token may see, itself included, not the whole square. A product of an (m, k) and a (k, n) matrix
is 2 m k n operations. Everything that is no matrix product (norms, softmax, AdamW) is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import PreTrainedModel

from bench.trainer_texts import Encoded


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """What goes through the model once: decoder tokens, (token, key) pairs of attention, predicted tokens, pictures.

    `unread` tokens, with `unread_attended` pairs, are those whose output nobody reads: all of a prompt but its last one.
    """

    tokens: int
    attended: int
    predicted: int
    pictures: int
    unread: int = 0
    unread_attended: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """FLOP of a forward through each part: a token, an attended key (all layers), a predicted token, a picture.

    `last_token` and `last_attended` are what the last layer does beside its keys and values.
    """

    token: int
    last_token: int
    attended: int
    last_attended: int
    predicted: int
    projector: int
    tower: int

    def forward(self, one: Pass) -> int:
        """Decoder, head and projector; the tower is for whoever runs it."""
        return self._learned(one) + self.projector * one.pictures

    def step(self, one: Pass) -> int:
        """Forward and backward."""
        return 3 * self._learned(one) + 2 * self.projector * one.pictures

    def _learned(self, one: Pass) -> int:
        read = self.token * one.tokens + self.attended * one.attended + self.predicted * one.predicted
        return read - self.last_token * one.unread - self.last_attended * one.unread_attended


def costs(model: PreTrainedModel, pair: Encoded) -> Costs:
    """Of a LLaVA-like model: of its linear layers, and of its tower as torch counts them on the picture of `pair`."""
    text = model.config.get_text_config()
    decoder, head, tower = model.get_decoder(), model.get_output_embeddings(), model.get_encoder(modality="image")
    known = {id(module) for part in (decoder, head, tower) for module in part.modules()}
    between = [module for module in model.modules() if id(module) not in known]
    image_tokens = pair.prompt.count(model.config.image_token_id)
    projector = 2 * _weights(between) * image_tokens
    width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    attended = 4 * text.num_attention_heads * width
    last = [module for name, module in decoder.layers[-1].named_modules() if not name.endswith(("k_proj", "v_proj"))]
    # The fused kernel of the CPU is not in torch's register of what is counted.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counted:
        model.get_image_features(**pair.picture)
    return Costs(
        token=2 * _weights(decoder.modules()),
        last_token=2 * _weights(last),
        attended=attended * text.num_hidden_layers,
        last_attended=attended,
        predicted=2 * _weights([head]),
        projector=projector,
        tower=counted.get_total_flops() - projector,
    )


def shared(pairs: Sequence[Encoded]) -> Pass:
    """The pass in which every prompt goes through once, and every distinct answer to it."""
    answers: dict[int, set[tuple[int, ...]]] = {}
    prompts = {pair.asked: len(pair.prompt) for pair in pairs}
    for pair in pairs:
        answers.setdefault(pair.asked, set()).update((tuple(pair.chosen), tuple(pair.rejected)))
    lengths = [(prompts[asked], len(answer)) for asked, found in answers.items() for answer in found]
    return Pass(
        tokens=sum(prompts.values()) + sum(answer - 1 for _, answer in lengths),
        attended=sum(_causal(prompt) for prompt in prompts.values())
        + sum((answer - 1) * prompt + _causal(answer - 1) for prompt, answer in lengths),
        predicted=sum(answer for _, answer in lengths),
        pictures=len(prompts),
        unread=sum(prompt - 1 for prompt in prompts.values()),
        unread_attended=sum(_causal(prompt - 1) for prompt in prompts.values()),
    )


def once(found: Costs, pairs: Sequence[Encoded]) -> int:
    """FLOP of the reference over all pairs, the tower's features included."""
    every = shared(pairs)
    return found.forward(every) + found.tower * every.pictures


def _causal(tokens: int) -> int:
    return tokens * (tokens + 1) // 2


def _weights(modules: Iterable[nn.Module]) -> int:
    return sum(module.weight.numel() for module in modules if isinstance(module, nn.Linear))
