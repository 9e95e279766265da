"""The published way to label (as RLAIF-V's code does): a forward pass a claim, batch 1, nothing shared, repetitions asked again.

Plain transformers, independent of this project's adapters: the picture and the question through the model's processor, one
forward pass that computes the logits of the last position only, as `generate` does for one token.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image as PilImage
from torch import Tensor
from transformers import AutoModelForImageTextToText, AutoProcessor

from bench.labeler_sides import Answer
from bench.scenes import AskedPicture
from rlaifv.adapters.huggingface.quiet import quiet
from rlaifv.core.training import Precision
from rlaifv.core.verdicts import question_prompt

DTYPES = {Precision.FP32: torch.float32, Precision.BF16: torch.bfloat16}


class PublishedSide:
    """Answers claim by claim."""

    def __init__(self, folder: Path, precision: Precision) -> None:
        with quiet():
            self.processor: Any = AutoProcessor.from_pretrained(folder, local_files_only=True)
            self.model: Any = AutoModelForImageTextToText.from_pretrained(
                folder, local_files_only=True, dtype=DTYPES[precision]
            )
        self.model.eval()
        self.tokens = answer_tokens(self.processor.tokenizer)

    @torch.inference_mode()
    def ask(self, pictures: Sequence[AskedPicture]) -> list[Answer]:
        return [self.answer(one.image.data, question) for one in pictures for question in one.questions]

    def answer(self, picture: bytes, question: str) -> Answer:
        """One claim, from the picture's bytes to its probabilities."""
        logits: Tensor = self.model(**self.inputs(picture, question), logits_to_keep=1).logits[0, -1]
        return self.verdict(logits)

    def verdict(self, logits: Tensor) -> Answer:
        """Softmax over the whole vocabulary in fp32; all spellings of a word count."""
        probabilities = logits.float().softmax(-1)
        return Answer.of(*(float(probabilities[ids].sum()) for ids in self.tokens))

    def inputs(self, picture: bytes, question: str) -> dict[str, Tensor]:
        """The whole prompt and the pixels, as the model takes them."""
        shown = PilImage.open(io.BytesIO(picture)).convert("RGB")
        batch = self.processor.apply_chat_template(
            [user_turn(question, image=shown)], add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        )  # fmt: skip
        return {
            name: value.to(self.model.dtype) if value.is_floating_point() else value for name, value in batch.items()
        }

    def cpu_seconds(self) -> float:
        return 0.0

    def close(self) -> None:
        del self.model


def user_turn(question: str, **image: Any) -> dict[str, Any]:
    """The one user turn that asks a labeler; `image` goes into the picture's entry."""
    parts = [{"type": "image", **image}, {"type": "text", "text": question_prompt(question)}]
    return {"role": "user", "content": parts}


def padded(prompts: list[dict[str, Tensor]], pad: int | None) -> dict[str, Tensor]:
    """One batch of prompts, filled on the left, so that each ends at the last position."""
    longest = max(one["input_ids"].shape[1] for one in prompts)
    fill = {"input_ids": pad or 0}
    batch: dict[str, Tensor] = {}
    for name, first in prompts[0].items():
        rows = [one[name] for one in prompts]
        if first.dim() == 2 and first.shape == prompts[0]["input_ids"].shape:
            rows = [torch.nn.functional.pad(row, (longest - row.shape[1], 0), value=fill.get(name, 0)) for row in rows]
        batch[name] = torch.cat(rows)
    return batch


def answer_tokens(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Ids of all tokens that are yes, and no, but for case and white space: found by decoding the whole vocabulary."""
    special = set(tokenizer.all_special_ids)
    words: dict[str, list[int]] = {"yes": [], "no": []}
    for token in sorted(set(tokenizer.get_vocab().values()) - special):
        word = tokenizer.decode([token]).strip().lower()
        if word in words:
            words[word].append(token)
    return words["yes"], words["no"]
