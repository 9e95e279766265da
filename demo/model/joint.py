"""Second stage of training: captions of habit and true answers to yes/no questions, many per picture."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from transformers import LlavaForConditionalGeneration

from demo.model.corpus import Corpus
from demo.model.dense import PatchWords, image_features, normalised, patch_targets, schedule
from demo.model.packing import Packed, Packer, reply_logits


@dataclass(frozen=True, slots=True, kw_only=True)
class JointPlan:
    """How long, how fast and on what mix the second stage trains."""

    steps: int
    batch: int = 16
    rounds: int = 1
    """Rounds of questions per picture, about seven questions each."""
    learning_rate: float = 1e-3
    vision_learning_rate: float = 5e-4
    """Of the vision tower, the projector and the word embeddings."""
    caption_weight: float = 1.0
    verdict_weight: float = 1.0
    patch_weight: float = 0.3
    """Of the first stage's loss, kept so that what was learned there stays."""
    warm_up: int = 50
    seed: int = 1


def train_answers(
    model: LlavaForConditionalGeneration,
    words: PatchWords,
    packer: Packer,
    corpus: Corpus,
    plan: JointPlan,
    watch: Corpus,
) -> Iterator[dict[str, float]]:
    """Train the whole model; yields losses and balanced accuracies on `watch` every 50 steps."""
    optimizer = _optimizer(model, words, plan)
    rng, start = random.Random(plan.seed), time.monotonic()
    for step in range(plan.steps):
        factor = schedule(step, plan.steps, plan.warm_up)
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        chosen = sorted(rng.sample(range(len(corpus.scenes)), plan.batch))
        losses = _losses(model, words, packer, corpus, chosen, rng, plan.rounds)
        caption_loss, verdict_loss, patch_loss = losses
        loss = plan.caption_weight * caption_loss + plan.verdict_weight * verdict_loss + plan.patch_weight * patch_loss
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], 1.0)
        optimizer.step()
        if (step + 1) % 50 == 0 or step + 1 == plan.steps:
            figures = {"caption": caption_loss.item(), "verdict": verdict_loss.item(), "patch": patch_loss.item()}
            seconds = time.monotonic() - start
            yield {"step": step + 1, "seconds": seconds, **figures, **balanced_accuracy(model, packer, watch)}


def _optimizer(model: LlavaForConditionalGeneration, words: PatchWords, plan: JointPlan) -> torch.optim.Optimizer:
    embeddings = model.get_input_embeddings().weight
    language = [p for p in model.model.language_model.parameters() if p is not embeddings]
    parts = (model.model.vision_tower, model.model.multi_modal_projector, words)
    vision = [embeddings, *(p for part in parts for p in part.parameters())]
    groups = [
        {"params": language, "lr": plan.learning_rate, "peak": plan.learning_rate},
        {"params": vision, "lr": plan.vision_learning_rate, "peak": plan.vision_learning_rate},
    ]
    return torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.02)


def _losses(
    model: LlavaForConditionalGeneration,
    words: PatchWords,
    packer: Packer,
    corpus: Corpus,
    chosen: list[int],
    rng: random.Random,
    rounds: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean losses of caption tokens (and ends of replies), of verdicts, and of patches."""
    packed = packer.pack([packer.exchanges(corpus.scenes[index], rng, rounds) for index in chosen])
    wanted = packed.targets != -100
    patches = torch.from_numpy(np.stack([patch_targets(corpus.scenes[i], corpus.patches[i]) for i in chosen]))
    with torch.autocast("cpu", torch.bfloat16):
        features = image_features(model, normalised(corpus.pixels[chosen]))
        logits = reply_logits(model, packed, features, packer.image_id)
        patch_loss = words.loss(features, model.get_input_embeddings().weight, patches)
    each = nn.functional.cross_entropy(logits.float(), packed.targets[wanted], reduction="none")
    verdict = packed.verdicts[wanted]
    return each[~verdict].mean(), each[verdict].mean(), patch_loss


@torch.no_grad()
def balanced_accuracy(
    model: LlavaForConditionalGeneration, packer: Packer, corpus: Corpus, size: int = 96
) -> dict[str, float]:
    """Balanced accuracy by claim type on fresh questions about the first `size` scenes: p_yes > p_no means yes."""
    rng = random.Random(0)
    packed = packer.pack([packer.exchanges(scene, rng, 2) for scene in corpus.scenes[:size]])
    with torch.autocast("cpu", torch.bfloat16):
        features = image_features(model, normalised(corpus.pixels[:size]))
        logits = reply_logits(model, packed, features, packer.image_id)
    return _by_type(packed, logits, packer)


def _by_type(packed: Packed, logits: Tensor, packer: Packer) -> dict[str, float]:
    wanted = packed.targets != -100
    verdict = packed.verdicts[wanted]
    yes, no = packer.token("Yes"), packer.token("No")
    says_yes = (logits[verdict][:, yes] > logits[verdict][:, no]).tolist()
    truth = (packed.targets[wanted][verdict] == yes).tolist()
    hits: dict[tuple[str, bool], list[bool]] = defaultdict(list)
    for kind, said, true in zip([t for row in packed.types for t in row], says_yes, truth, strict=True):
        hits[kind, true].append(said == true)
    shares = {key: sum(values) / len(values) for key, values in hits.items()}
    return {kind: (shares[kind, True] + shares[kind, False]) / 2 for kind in sorted({key[0] for key in shares})}
