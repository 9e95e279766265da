"""The pairs as text and as token ids, by the model's own processor alone: what the baselines of bench.trainer learn from."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image as PilImage
from torch import Tensor
from transformers import AutoProcessor

from rlaifv.adapters.preferences import PreferenceRow, read_preferences


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """A pair as the processor takes it, without adding special tokens: the prompt with its image token, then either answer."""

    prompt: str
    chosen: str
    rejected: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """Token ids of a pair, the end of sequence included, and its picture's tensors for the model.

    Pairs with the same number `asked` have question and picture in common.
    """

    asked: int
    prompt: list[int]
    chosen: list[int]
    rejected: list[int]
    picture: dict[str, Tensor]


def texts(processor: Any, row: PreferenceRow) -> Texts:
    """The row through the chat template.

    Where the template leaves out the beginning or the end of sequence with which the policy reads and writes, it is put there:
    LLaVA-1.5's tokenizer adds the one, its training text had the other.
    """
    tokenizer = processor.tokenizer
    asked = _template(processor, row)
    answers = []
    for answer in (row.chosen, row.rejected):
        said = _template(processor, row, answer).removeprefix(asked).rstrip()
        answers.append(said + tokenizer.eos_token if said.endswith(answer) else said)
    begins = tokenizer("").input_ids[:1] == [tokenizer.bos_token_id] and not asked.startswith(tokenizer.bos_token)
    return Texts(prompt=tokenizer.bos_token + asked if begins else asked, chosen=answers[0], rejected=answers[1])


def encoded_pairs(model: Path, pairs: Path) -> list[Encoded]:
    """All pairs of a file, each picture through the processor of the model folder once a prompt."""
    processor = AutoProcessor.from_pretrained(model, local_files_only=True)
    seen: dict[tuple[bytes, str], tuple[int, list[int], dict[str, Tensor]]] = {}
    found = []
    for row in read_preferences(pairs):
        text = texts(processor, row)
        if (row.image, row.question) not in seen:
            picture = PilImage.open(io.BytesIO(row.image))
            inputs = dict(processor(images=[picture], text=text.prompt, return_tensors="pt", add_special_tokens=False))
            ids = inputs.pop("input_ids")[0].tolist()
            inputs.pop("attention_mask")
            seen[row.image, row.question] = (len(seen), ids, inputs)
        number, ids, inputs = seen[row.image, row.question]
        chosen, rejected = (
            processor.tokenizer(answer, add_special_tokens=False).input_ids for answer in (text.chosen, text.rejected)
        )
        found.append(Encoded(asked=number, prompt=ids, chosen=chosen, rejected=rejected, picture=inputs))
    return found


def _template(processor: Any, row: PreferenceRow, answer: str | None = None) -> str:
    asked = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": row.question}]}
    answered = [] if answer is None else [{"role": "assistant", "content": [{"type": "text", "text": answer}]}]
    text: str = processor.apply_chat_template([asked, *answered], add_generation_prompt=answer is None, tokenize=False)
    return text
