"""What the adapters are held against: transformers' own forward over the processor's own output, one prompt at a time.

Nothing here uses the adapters' code, besides decoding the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForImageTextToText, AutoProcessor

from rlaifv.adapters.images import decode


@dataclass(frozen=True, slots=True)
class Plain:
    """A model folder as transformers loads it."""

    model: Any
    processor: Any

    @classmethod
    def load(cls, folder: Path) -> Plain:
        model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
        return cls(model, AutoProcessor.from_pretrained(folder))

    def inputs(self, picture: bytes, text: str, answer: tuple[int, ...] = ()) -> dict[str, Tensor]:
        """The arguments of the model's forward for a prompt that has been answered as far as `answer`."""
        turn = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}
        rendered = self.processor.apply_chat_template([turn], add_generation_prompt=True, tokenize=False)
        bos = self.processor.tokenizer.bos_token
        batch = dict(
            self.processor(
                images=[decode(picture)],
                text=rendered,
                return_tensors="pt",
                add_special_tokens=not (bos and rendered.startswith(bos)),
            )
        )
        added = {"input_ids": torch.tensor([answer], dtype=torch.long), "attention_mask": torch.ones(1, len(answer))}
        for name in ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids"):
            if name in batch:
                more = added.get(name, torch.zeros(1, len(answer)))
                batch[name] = torch.cat([batch[name], more.to(batch[name].dtype)], dim=1)
        return batch

    def next_logits(self, picture: bytes, text: str) -> Tensor:
        """fp32 logits (vocabulary,) of the first answer token."""
        with torch.no_grad():
            return self.model(**self.inputs(picture, text)).logits[0, -1].float()

    def answer_logprobs(self, picture: bytes, text: str, answer: tuple[int, ...]) -> Tensor:
        """Log-probability of every answer token given what is before it, (tokens,), with gradients."""
        logits = self.model(**self.inputs(picture, text, answer)).logits[0].float()
        before = logits[-len(answer) - 1 : -1]
        return before.log_softmax(-1).gather(-1, torch.tensor(answer)[:, None])[:, 0]

    def greedy(self, picture: bytes, text: str, tokens: int) -> tuple[int, ...]:
        """What `generate` answers at temperature 0, the end of sequence included."""
        inputs = self.inputs(picture, text)
        with torch.no_grad():
            found = self.model.generate(**inputs, max_new_tokens=tokens, do_sample=False)
        return tuple(found[0, inputs["input_ids"].shape[1] :].tolist())
