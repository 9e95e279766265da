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
from transformers import AutoProcessor, DynamicCache, LlavaForConditionalGeneration, LlavaProcessor

from demo.model.architecture import INPUT_SIZE, MAX_NEW_TOKENS
from demo.model.dense import image_features, normalised
from demo.model.packing import Exchange, Packer, reply_logits
from demo.world.questions import SUFFIX

_ROWS = 250
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
        model = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
        return DemoModel(model, AutoProcessor.from_pretrained(folder))

    def answers(
        self, pictures: Sequence[Image.Image], prompts: Sequence[str], *, samples: int = 1, temperature: float = 0.0
    ) -> list[list[str]]:
        """Per picture `samples` answers: greedy at temperature 0, else drawn from the global torch generator."""
        pixels, said = pixels_of(pictures), []
        each = max(1, _ROWS // samples)
        for start in range(0, len(pictures), each):
            part = slice(start, start + each)
            said += self._generate(pixels[part], prompts[part], samples, temperature)
        return [said[index * samples : (index + 1) * samples] for index in range(len(pictures))]

    @torch.no_grad()
    def _generate(self, pixels: Tensor, prompts: Sequence[str], samples: int, temperature: float) -> list[str]:
        """The picture and the prompt are read once, however many samples follow."""
        tokenizer, language = self.processor.tokenizer, self.model.model.language_model
        image = "<image>" * self.model.config.image_seq_length
        texts = [f"<s><user>{image}{prompt}<assistant>" for prompt in prompts]
        batch = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
        mask, cache = batch["attention_mask"], DynamicCache()
        embedded = self.model.get_input_embeddings()(batch["input_ids"])
        pictured = (batch["input_ids"] == self.packer.image_id)[..., None]
        embedded = embedded.masked_scatter(pictured, image_features(self.model, pixels).to(embedded.dtype))
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        state = language(inputs_embeds=embedded, attention_mask=mask, position_ids=positions, past_key_values=cache)
        last = state.last_hidden_state[:, -1].repeat_interleave(samples, 0)
        cache.batch_repeat_interleave(samples)
        mask, place = (t.repeat_interleave(samples, 0) for t in (mask, positions[:, -1:]))
        tokens: list[Tensor] = []
        ended = torch.zeros(len(last), dtype=torch.bool)
        while len(tokens) < MAX_NEW_TOKENS and not ended.all():
            token = _choose(self.model.lm_head(last).float(), temperature).masked_fill(ended, tokenizer.pad_token_id)
            tokens.append(token)
            ended |= token == tokenizer.eos_token_id
            mask, place = torch.cat([mask, torch.ones_like(mask[:, :1])], 1), place + 1
            state = language(input_ids=token[:, None], attention_mask=mask, position_ids=place, past_key_values=cache)
            last = state.last_hidden_state[:, -1]
        replies: list[str] = tokenizer.batch_decode(torch.stack(tokens, 1), skip_special_tokens=True)
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


def _choose(logits: Tensor, temperature: float) -> Tensor:
    if not temperature:
        return logits.argmax(-1)
    return torch.multinomial((logits / temperature).softmax(-1), 1)[:, 0]


def pixels_of(pictures: Sequence[Image.Image]) -> Tensor:
    """The pictures as the model's processor prepares them."""
    size = (INPUT_SIZE, INPUT_SIZE)
    resized = [np.asarray(picture.convert("RGB").resize(size, Image.Resampling.BICUBIC)) for picture in pictures]
    return normalised(np.stack(resized))
