"""Floating-point operations that labeling cannot do without: what is left when nothing is computed twice.

Each picture goes through the vision tower once and is read once; each distinct question adds its own tokens; the head is needed
where an answer begins. A multiplication and an addition are two operations; norms, rotations and softmax are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from bench.labeler_published import PublishedSide
from bench.scenes import AskedPicture


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompts:
    """Lengths in tokens of what is asked about one picture: up to the picture's last token, and each question's rest."""

    prefix: int
    image_tokens: int
    branches: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderCost:
    """FLOP of a dense decoder: for a token's projections, for a query's look at one key, for one position's logits."""

    token: int
    pair: int
    head: int

    @classmethod
    def of(cls, model: Any) -> DecoderCost:
        text = model.config.get_text_config()
        linears = [one for one in model.get_decoder().modules() if isinstance(one, nn.Linear)]
        width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        return cls(
            token=2 * sum(one.weight.numel() for one in linears),
            pair=4 * text.num_hidden_layers * text.num_attention_heads * width,
            head=2 * model.get_output_embeddings().weight.numel(),
        )

    def needed(self, prompts: Prompts) -> int:
        """A token looks at itself and at what comes before it, its own question's and the prefix's."""
        tokens = prompts.prefix + sum(prompts.branches)
        pairs = _triangle(prompts.prefix)
        pairs += sum(new * prompts.prefix + _triangle(new) for new in prompts.branches)
        return tokens * self.token + pairs * self.pair + len(prompts.branches) * self.head


def prompts_of(side: PublishedSide, picture: AskedPicture) -> Prompts:
    """Lengths of the distinct questions."""
    lengths = []
    at = images = 0
    for question in dict.fromkeys(picture.questions):
        ids = side.inputs(picture.image.data, question)["input_ids"][0]
        places = (ids == side.model.config.image_token_id).nonzero().flatten()
        at, images = int(places[-1]) + 1, len(places)
        lengths.append(len(ids) - at)
    return Prompts(prefix=at, image_tokens=images, branches=tuple(lengths))


def vision(side: PublishedSide, picture: AskedPicture) -> int:
    """FLOP of the vision tower and projector for one picture, counted while they run."""
    inputs: dict[str, Tensor] = side.inputs(picture.image.data, picture.questions[0])
    inputs = {name: value for name, value in inputs.items() if name not in ("input_ids", "attention_mask")}
    # The fused CPU kernel is none that the counter knows.
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counted:
        side.model.get_image_features(**inputs)
    return int(counted.get_total_flops())


def needed(side: PublishedSide, pictures: Sequence[AskedPicture]) -> int:
    """FLOP for all distinct questions about the pictures."""
    cost = DecoderCost.of(side.model)
    return sum(vision(side, one) + cost.needed(prompts_of(side, one)) for one in pictures)


def _triangle(tokens: int) -> int:
    return tokens * (tokens + 1) // 2
