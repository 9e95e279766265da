"""First stage of training: every patch learns to say, in the language model's own words, what it shows.

The classifier's weights are the token embeddings of the nouns, colours, numbers and places (tied with the language
model's output), so that afterwards an image token lies near the words for its object. Without this stage yes/no answers
stay at chance: captions can be half right from habit, but a question has to find its object.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast

from demo.model.architecture import PIXEL_MEAN, PIXEL_STD
from demo.model.corpus import UNCLEAR, Corpus
from demo.model.tokenizer import word_id
from demo.world.scenes import WorldScene
from demo.world.vocabulary import COLOURS, KINDS, NUMBER_WORDS

_IGNORED = -100
_ORDINALS = ("first", "second", "third", "fourth")
_ROWS = ("top", "middle", "bottom")
_COLUMNS = ("left", "middle", "right")
_KIND_INDEX = {kind.name: index for index, kind in enumerate(KINDS)}
_COLOUR_INDEX = {name: index for index, name in enumerate(COLOURS)}
# The word set of every question asked of a patch; the kind is asked twice, in singular and plural words.
QUESTIONS: tuple[tuple[str, ...], ...] = (
    (*(kind.name for kind in KINDS), "background"),
    (*(kind.plural for kind in KINDS), "background"),
    tuple(COLOURS),
    tuple(NUMBER_WORDS.values()),
    _ROWS,
    _COLUMNS,
    _ORDINALS,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DensePlan:
    """How long and how fast the first stage trains."""

    steps: int
    batch: int = 64
    learning_rate: float = 1.5e-3
    warm_up: int = 100
    seed: int = 0


class PatchWords(nn.Module):
    """Scores of the word sets for image features, with the language model's embeddings as weights."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        super().__init__()
        self.ids = [torch.tensor([word_id(tokenizer, word) for word in words]) for words in QUESTIONS]
        self.scale = nn.Parameter(torch.tensor(1.0))

    def loss(self, features: Tensor, embeddings: Tensor, targets: Tensor) -> Tensor:
        """Mean over the word sets; `features` (n, patches, width), `targets` (n, patches, sets)."""
        losses = [
            nn.functional.cross_entropy(
                (self.scale * features @ embeddings[ids].T).float().flatten(0, 1),
                targets[..., index].flatten(),
                ignore_index=_IGNORED,
            )
            for index, ids in enumerate(self.ids)
        ]
        return torch.stack(losses).mean()

    @torch.no_grad()
    def accuracy(self, features: Tensor, embeddings: Tensor, targets: Tensor) -> list[float]:
        """Share of right patches for each word set."""
        shares = []
        for index, ids in enumerate(self.ids):
            wanted = targets[..., index]
            guessed = (features @ embeddings[ids].T).argmax(-1)
            shares.append((guessed == wanted)[wanted != _IGNORED].float().mean().item())
        return shares


def patch_targets(scene: WorldScene, shown: np.ndarray) -> np.ndarray:
    """(patches, sets) of word indices; `shown` is the corpus row of this scene."""
    rows = [_object_targets(scene, index) for index in range(len(scene.objects))]
    background = [len(KINDS), len(KINDS), *[_IGNORED] * (len(QUESTIONS) - 2)]
    table = np.array([*rows, [_IGNORED] * len(QUESTIONS), background], dtype=np.int64)
    return table[np.where(shown == UNCLEAR, len(rows), np.where(shown < 0, len(rows) + 1, shown))]


def _object_targets(scene: WorldScene, index: int) -> list[int]:
    item = scene.objects[index]
    order = [group.kind for group in scene.groups()].index(item.kind)
    count = sum(other.kind == item.kind for other in scene.objects)
    kind = _KIND_INDEX[item.kind]
    row, column = divmod(item.cell, 3)
    return [kind, kind, _COLOUR_INDEX[item.colour], count - 1, row, column, order]


def normalised(pixels: np.ndarray) -> Tensor:
    """Corpus pixels as the image processor hands them to the model: (n, 3, size, size)."""
    scaled = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 255
    return (scaled - PIXEL_MEAN) / PIXEL_STD


def image_features(model: LlavaForConditionalGeneration, pixels: Tensor) -> Tensor:
    """(n, patches, width): what the language model is given for the pictures."""
    output = model.model.get_image_features(pixel_values=pixels, return_dict=True)
    features = output.pooler_output if hasattr(output, "pooler_output") else output
    return torch.stack(list(features))


def schedule(step: int, steps: int, warm_up: int) -> float:
    """Factor on the learning rate: linear warm-up, then half a cosine down to 2 %."""
    if step < warm_up:
        return (step + 1) / warm_up
    progress = (step - warm_up) / max(1, steps - warm_up)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def train_patches(
    model: LlavaForConditionalGeneration, words: PatchWords, corpus: Corpus, plan: DensePlan, watch: Corpus
) -> Iterator[dict[str, float]]:
    """Train the vision tower, the projector and the word embeddings; yields figures every 100 steps."""
    embeddings = model.get_input_embeddings().weight
    parts = (model.model.vision_tower, model.model.multi_modal_projector, words)
    parameters = [embeddings, *(p for part in parts for p in part.parameters())]
    optimizer = torch.optim.AdamW(parameters, lr=plan.learning_rate, betas=(0.9, 0.98), weight_decay=0.02)
    rng, start = random.Random(plan.seed), time.monotonic()
    for step in range(plan.steps):
        chosen = rng.sample(range(len(corpus.scenes)), plan.batch)
        targets = torch.from_numpy(np.stack([patch_targets(corpus.scenes[i], corpus.patches[i]) for i in chosen]))
        for group in optimizer.param_groups:
            group["lr"] = plan.learning_rate * schedule(step, plan.steps, plan.warm_up)
        with torch.autocast("cpu", torch.bfloat16):
            features = image_features(model, normalised(corpus.pixels[sorted(chosen)][_ranks(chosen)]))
            loss = words.loss(features, embeddings, targets)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if (step + 1) % 100 == 0 or step + 1 == plan.steps:
            yield {
                "step": step + 1,
                "seconds": time.monotonic() - start,
                "loss": loss.item(),
                **watched(model, words, watch),
            }


def _ranks(chosen: list[int]) -> list[int]:
    """Order that undoes sorting: memory-mapped rows are read in ascending order."""
    return [int(rank) for rank in np.argsort(np.argsort(chosen))]


@torch.no_grad()
def watched(
    model: LlavaForConditionalGeneration, words: PatchWords, watch: Corpus, size: int = 200
) -> dict[str, float]:
    """Accuracy by word set on the first `size` scenes of `watch`."""
    targets = torch.from_numpy(np.stack([patch_targets(watch.scenes[i], watch.patches[i]) for i in range(size)]))
    with torch.autocast("cpu", torch.bfloat16):
        features = image_features(model, normalised(watch.pixels[:size]))
    names = ("kind", "plural", "colour", "count", "row", "column", "order")
    shares = words.accuracy(features.float(), model.get_input_embeddings().weight, targets)
    return dict(zip(names, shares, strict=True))
