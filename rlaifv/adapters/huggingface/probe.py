"""Proof at start-up that a model may be run the fast way: read in parts, pictures encoded apart, pairs in one batch.

Families differ in masks, positions and caches in ways that nothing declares. So the fast way is held against the model's own
plain forward over its own processor's output, on synthetic pictures, before anything is answered or learned: a family for which
the two differ is refused with the difference, instead of serving a wrong number.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from PIL import Image as PilImage
from torch import Tensor

from rlaifv.adapters.huggingface.branches import Branch, BranchPass
from rlaifv.adapters.huggingface.decoder import Decoder, RowCache, head_logits
from rlaifv.adapters.huggingface.loading import LoadedModel
from rlaifv.adapters.huggingface.packed_reading import PackReader
from rlaifv.adapters.huggingface.vision import VisionEncoder, token_kinds
from rlaifv.core.errors import InvalidInput
from rlaifv.learning.packing import grow, lay_out
from rlaifv.learning.sequences import TokenSequence, collate, join

_QUESTIONS = ("Is there a red car on the left of the picture?", "What do you see?")
_LIMITS = {torch.float32: 1e-3, torch.bfloat16: 0.15}
"""Largest relative difference of logits that rounding explains, by number format.

Measured: 1e-6 in fp32, 0.1 in bf16 through 32 random layers; Gemma 3's mask left out makes 0.2, Qwen-VL's positions 1.2.
"""


class _NotExact(Exception):
    """Logits that rounding does not explain."""


_MODEL_ERRORS = (ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError, NotImplementedError)


def prove_reading(loaded: LoadedModel, decoder: Decoder, vision: VisionEncoder) -> None:
    """Read a picture once and branch questions from it; raises InvalidInput where the logits are not the plain forward's."""
    picture = _picture(150, 90)
    with torch.inference_mode(), _refusing("reading a prompt in parts"):
        prepared = loaded.chat.prepare(picture)
        seen = vision.encode(prepared)
        cut = prepared.at + len(prepared.placeholders)
        branches, last = [], []
        for question in _QUESTIONS:
            rendered = loaded.chat.render(question)
            ids = loaded.chat.prompt_ids(rendered, prepared)
            prefix = decoder.read(ids[:cut], seen)
            branch = torch.tensor([ids[cut:]], device=decoder.device)
            cache = RowCache(prefix, 1, len(ids))
            cache.fill(prefix, torch.zeros(1, dtype=torch.long, device=decoder.device))
            steps = torch.arange(branch.shape[1], device=decoder.device)[None]
            hidden = decoder.extend(cache, branch, prefix.tokens + steps, prefix.next_position + steps)[0]
            found = decoder.logits(torch.cat([prefix.last_hidden[None], hidden]))
            expected = _plain(loaded, picture, rendered)[cut - 1 :]
            _require_equal(found, expected, "reading a prompt in parts", loaded)
            branches.append(Branch(prefix=0, ids=ids[cut:]))
            last.append(expected[-1])
        together = BranchPass([prefix], branches)
        found = decoder.logits(decoder.run(together))
        expected = torch.stack([last[at] for at in together.order])
        _require_equal(found, expected, "asking several questions in one pass", loaded)


def prove_training(loaded: LoadedModel) -> str:
    """Why the model's sequences have to be padded in training; "" where they may be packed (learning.packing).

    Raises InvalidInput where neither gives the logits of the plain forward.
    """
    try:
        with torch.inference_mode():
            _require_packs(loaded)
    except torch.OutOfMemoryError:
        raise
    except _NotExact as exc:
        reason = str(exc)
    except (InvalidInput, *_MODEL_ERRORS) as exc:
        reason = f"reading prompts as one pack fails ({type(exc).__name__}: {exc})"
    else:
        return ""
    prove_batch(loaded)
    return reason


def _require_packs(loaded: LoadedModel) -> None:
    """Read two pictures with two questions each as one pack, branching where the pictures end."""
    model, vision = loaded.model, VisionEncoder(loaded.model)
    pictures = [_picture(150, 90), _picture(60, 100)]
    prepared = [loaded.chat.prepare(picture) for picture in pictures]
    asked = [(image, loaded.chat.render(question)) for image in range(len(pictures)) for question in _QUESTIONS]
    rows = [loaded.chat.prompt_ids(text, prepared[image]) for image, text in asked]
    cuts = [prepared[image].at + len(prepared[image].placeholders) for image, _ in asked]
    sequences = [TokenSequence(ids=ids, answer_start=cut) for ids, cut in zip(rows, cuts, strict=True)]
    pack = lay_out(grow(sequences, [image for image, _ in asked]).trees)
    hidden = PackReader(model).hidden(pack, vision.join([vision.encode(image) for image in prepared]))
    found = head_logits(model, model.get_output_embeddings(), hidden[pack.predictors.to(hidden.device)])
    for row, (image, text) in enumerate(asked):
        stated = _plain(loaded, pictures[image], text)[cuts[row] - 1 : -1]
        _require_equal(found[pack.owners.to(found.device) == row], stated, "reading prompts as one pack", loaded)


def prove_batch(loaded: LoadedModel) -> None:
    """Score two prompts about two pictures together; raises InvalidInput where the logits are not the plain forward's."""
    model, vision = loaded.model, VisionEncoder(loaded.model)
    pictures = [_picture(150, 90), _picture(60, 100)]
    with torch.inference_mode(), _refusing("reading pictures together"):
        prepared = [loaded.chat.prepare(picture) for picture in pictures]
        rendered = [loaded.chat.render(question) for question in _QUESTIONS]
        prompts = [loaded.chat.prompt_ids(text, image) for text, image in zip(rendered, prepared, strict=True)]
        batch = collate([join(ids[:-1], (), ids[-1]) for ids in prompts], pad=loaded.end_of_sequence)
        ids = batch.ids.to(model.device)
        hidden = model.base_model(
            input_ids=ids,
            attention_mask=batch.attention.to(model.device),
            use_cache=False,
            **token_kinds(model, ids),
            **vision.join([vision.encode(image) for image in prepared]),
        ).last_hidden_state
        for row, (picture, text) in enumerate(zip(pictures, rendered, strict=True)):
            found = head_logits(model, model.get_output_embeddings(), hidden[row, : len(prompts[row])])
            _require_equal(found, _plain(loaded, picture, text), "reading pictures together", loaded)


@contextmanager
def _refusing(what: str) -> Iterator[None]:
    """A model that cannot be run so at all is refused like one that gives other numbers."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except _MODEL_ERRORS as exc:
        raise InvalidInput(f"model: {what} fails ({type(exc).__name__}: {exc}): this family is not supported") from exc
    except _NotExact as exc:
        raise InvalidInput(f"model: {exc}: this family is not supported") from exc


def _plain(loaded: LoadedModel, picture: PilImage.Image, rendered: str) -> Tensor:
    """Logits (tokens, vocabulary) of the model's own forward over all that its processor gives."""
    batch: dict[str, Any] = dict(loaded.chat.process(picture, rendered))
    batch.pop("text_replacement_offsets")
    model = loaded.model
    inputs = {
        n: v.to(model.device, model.dtype) if v.is_floating_point() else v.to(model.device) for n, v in batch.items()
    }
    logits: Tensor = model(**inputs).logits[0].float()
    return logits


def _require_equal(found: Tensor, stated: Tensor, what: str, loaded: LoadedModel) -> None:
    spread = (stated - stated.mean(-1, keepdim=True)).norm(dim=-1)
    difference = float(((found - stated).norm(dim=-1) / spread).max()) if found.shape == stated.shape else float("inf")
    limit = _LIMITS[loaded.model.dtype]
    if not difference <= limit:
        raise _NotExact(
            f"{what} gives other logits than its plain forward (relative difference {difference:.2g}, limit {limit:.2g})"
        )


def _picture(width: int, height: int) -> PilImage.Image:
    """No two parts alike, so that a picture's tokens in a wrong order show."""
    ramps = [PilImage.linear_gradient("L").rotate(angle).resize((width, height)) for angle in (0, 90, 180)]
    return PilImage.merge("RGB", ramps)
