"""The trained demo model at work, many pictures at a time: for gates and for watching training.

The services have their own ways to run a model; here only the demo's pictures and prompts have to fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import AutoProcessor, LlavaForConditionalGeneration, LlavaProcessor

from demo.model.architecture import INPUT_SIZE, MAX_NEW_TOKENS
from demo.model.dense import image_features, normalised
from demo.model.packing import Exchange, Packer, reply_logits
from demo.world.questions import SUFFIX

_BATCH = 250
YES = ("Yes", "yes", " Yes", " yes")
NO = ("No", "no", " No", " no")


class Opinion(NamedTuple):
    """Probability of all spellings of yes and of no as the reply's first token."""

    p_yes: float
    p_no: float


class DemoModel:
    """A checkpoint folder with its processor, in fp32."""

    def __init__(self, model: LlavaForConditionalGeneration, processor: LlavaProcessor) -> None:
        self.model = model.eval()
        self.processor = processor
        self.packer = Packer(processor.tokenizer)

    @staticmethod
    def load(folder: Path) -> DemoModel:
        """Read a checkpoint written by the training command or by the trainer."""
        model = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
        return DemoModel(model, AutoProcessor.from_pretrained(folder))

    def answers(
        self, pictures: Sequence[Image.Image], prompts: Sequence[str], *, samples: int = 1, temperature: float = 0.0
    ) -> list[list[str]]:
        """Per picture `samples` answers: greedy at temperature 0, else drawn from the global torch generator."""
        pixels, given = pixels_of(pictures), [prompt for prompt in prompts for _ in range(samples)]
        each = np.repeat(np.arange(len(pictures)), samples)
        said: list[str] = []
        for start in range(0, len(given), _BATCH):
            said += self._generate(pixels[each[start : start + _BATCH]], given[start : start + _BATCH], temperature)
        return [said[index * samples : (index + 1) * samples] for index in range(len(pictures))]

    @torch.no_grad()
    def _generate(self, pixels: Tensor, prompts: Sequence[str], temperature: float) -> list[str]:
        tokenizer = self.processor.tokenizer
        image = "<image>" * self.model.config.image_seq_length
        texts = [f"<s><user>{image}{prompt}<assistant>" for prompt in prompts]
        batch = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
        settings = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {"do_sample": False}
        ids = self.model.generate(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            pixel_values=pixels,
            max_new_tokens=MAX_NEW_TOKENS,
            **settings,
        )
        replies: list[str] = tokenizer.batch_decode(ids[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
        return replies

    @torch.no_grad()
    def opinions(self, pictures: Sequence[Image.Image], questions: Sequence[Sequence[str]]) -> list[list[Opinion]]:
        """What the model answers to each picture's yes/no questions, asked with the labeler's suffix."""
        pixels, opinions = pixels_of(pictures), []
        for start in range(0, len(pictures), 16):
            rows = questions[start : start + 16]
            spoken = iter(self._first_tokens(pixels[start : start + 16], rows))
            opinions += [[next(spoken) for _ in row] for row in rows]
        return opinions

    def _first_tokens(self, pixels: Tensor, rows: Sequence[Sequence[str]]) -> Iterator[Opinion]:
        exchanges = [[Exchange(request=f"{q} {SUFFIX}", reply="Yes", type="question") for q in row] for row in rows]
        packed = self.packer.pack(exchanges)
        logits = reply_logits(self.model, packed, image_features(self.model, pixels), self.packer.image_id)
        chances = logits[packed.verdicts[packed.targets != -100]].float().softmax(-1)
        yes, no = ([self.packer.token(word) for word in spellings] for spellings in (YES, NO))
        for row in chances:
            yield Opinion(p_yes=row[yes].sum().item(), p_no=row[no].sum().item())


def pixels_of(pictures: Sequence[Image.Image]) -> Tensor:
    """The pictures as the model's processor prepares them."""
    size = (INPUT_SIZE, INPUT_SIZE)
    resized = [np.asarray(picture.convert("RGB").resize(size, Image.Resampling.BICUBIC)) for picture in pictures]
    return normalised(np.stack(resized))
