"""From a user's text and a picture to token ids: the one chat formatting for generating, labelling and training.

A user's text is cleaned of every special token first, so that exactly one image placeholder exists (reference fault 11).
Answers are encoded with special tokens taken as plain text, so that "<image>" or a role marker inside one trains like any
other words (fault 10).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from jinja2 import TemplateError
from PIL import Image as PilImage
from torch import Tensor

from rlaifv.core.errors import InvalidInput

_SENTINEL = "\ue000"
_PER_TOKEN = {"input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedImage:
    """A picture through the model's own processor.

    `inputs` are the tensors the vision tower wants (pixel_values …). `at`, `placeholders` and `cut` say how the single image
    token of a prompt becomes many: ids[:at] + placeholders + ids[at + cut:].
    """

    inputs: dict[str, Tensor]
    at: int
    placeholders: tuple[int, ...]
    cut: int
    head: tuple[int, ...]

    def without_inputs(self) -> PreparedImage:
        """The token layout alone."""
        return replace(self, inputs={})


class ChatFormat:
    """The chat template, tokenizer and image processor of one model folder."""

    def __init__(self, processor: Any) -> None:
        """Raises InvalidInput if the processor has no chat template or its template does not take an image."""
        self.processor = processor
        self.tokenizer: Any = processor.tokenizer
        self._specials = _special_strings(processor)
        self._bos: str | None = self.tokenizer.bos_token
        self._lead = self._answer_lead()

    def clean(self, text: str) -> str:
        """`text` without any special token of the tokenizer; repeated, as removing one may join two halves of another."""
        before = None
        while before != text:
            before = text
            for special in self._specials:
                text = text.replace(special, "")
        return text.strip()

    def require(self, text: str, field: str) -> str:
        """`text` cleaned. Raises InvalidInput if nothing is left of it, or if it is no valid Unicode."""
        try:
            text.encode()
        except UnicodeEncodeError as exc:
            raise InvalidInput.field(field, text, "holds half a surrogate pair: send valid Unicode") from exc
        cleaned = self.clean(text)
        if not cleaned:
            raise InvalidInput.field(field, text, "has no text besides white space and special tokens")
        return cleaned

    def render(self, text: str, field: str = "prompt.text") -> str:
        """The prompt as a string, image before text, ready for the answer. Errors as `require`."""
        return self._template([_user(self.require(text, field))], add_generation_prompt=True)

    def prepare(self, picture: PilImage.Image) -> PreparedImage:
        """Run the processor over a picture once; prompts about it then need the tokenizer only."""
        rendered = self._template([_user("What?")], add_generation_prompt=True)
        batch = self.processor(images=[picture], text=rendered, return_tensors="pt", **self._special_rule(rendered))
        full: list[int] = batch["input_ids"][0].tolist()
        raw = self._encode(rendered)
        at = _common(raw, full)
        tail = _common(raw[at:][::-1], full[at:][::-1])
        inputs = {name: value for name, value in batch.items() if name not in _PER_TOKEN}
        return PreparedImage(
            inputs=inputs,
            at=at,
            placeholders=tuple(full[at : len(full) - tail]),
            cut=len(raw) - tail - at,
            head=tuple(raw[:at]),
        )

    def prompt_ids(self, rendered: str, image: PreparedImage) -> tuple[int, ...]:
        """Token ids of a rendered prompt with the picture's placeholders in it."""
        raw = self._encode(rendered)
        if tuple(raw[: image.at]) != image.head:
            raise InvalidInput.field("prompt.text", rendered, "the chat template puts text before the image")
        return (*raw[: image.at], *image.placeholders, *raw[image.at + image.cut :])

    def answer_ids(self, rendered: str, answer: str) -> tuple[int, ...]:
        """Token ids of an answer as it follows the rendered prompt, without the end of sequence."""
        tail = rendered[max((rendered.rfind(s) + len(s) for s in self._specials if s in rendered), default=0) :]
        before = self._plain(tail)
        whole = self._plain(tail + self._lead + answer)
        if whole[: len(before)] == before:
            return tuple(whole[len(before) :])
        return tuple(self._plain(self._lead + answer))

    def text_of(self, ids: list[int]) -> str:
        """The text of generated ids, special tokens left out, white space around it removed."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)).strip()

    def _answer_lead(self) -> str:
        """What the template puts between the generation prompt and an assistant's answer (LLaVA 1.5: a space)."""
        prompt = self._template([_user("What?")], add_generation_prompt=True)
        turn = {"role": "assistant", "content": [{"type": "text", "text": _SENTINEL}]}
        try:
            full = self._template([_user("What?"), turn])
        except InvalidInput:
            return ""
        end = full.find(_SENTINEL)
        return full[len(prompt) : end] if full.startswith(prompt) and end >= 0 else ""

    def _template(self, messages: list[dict[str, Any]], add_generation_prompt: bool = False) -> str:
        try:
            return str(
                self.processor.apply_chat_template(
                    messages, add_generation_prompt=add_generation_prompt, tokenize=False
                )
            )
        except (ValueError, TypeError, KeyError, AttributeError, TemplateError) as exc:
            raise InvalidInput(
                f"model: its chat template cannot be used ({exc}); a template with an image is needed"
            ) from exc

    def _special_rule(self, rendered: str) -> dict[str, bool]:
        # A template that writes the beginning-of-sequence token itself must not get a second one.
        return {"add_special_tokens": not (self._bos and rendered.startswith(self._bos))}

    def _encode(self, rendered: str) -> list[int]:
        return list(self.tokenizer(rendered, **self._special_rule(rendered))["input_ids"])

    def _plain(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])


def _user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}


def _special_strings(processor: Any) -> list[str]:
    tokenizer = processor.tokenizer
    added = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    named = {str(token) for token in tokenizer.all_special_tokens}
    image = getattr(processor, "image_token", None)
    found = added | named | ({str(image)} if image else set())
    return sorted((token for token in found if token), key=lambda token: (-len(token), token))


def _common(a: list[int], b: list[int]) -> int:
    """Length of the common beginning."""
    count = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        count += 1
    return count


def stack_inputs(images: list[PreparedImage]) -> dict[str, Tensor]:
    """The vision inputs of several pictures as one batch; raises InvalidInput where their shapes differ."""
    try:
        return {name: torch.cat([image.inputs[name] for image in images]) for name in images[0].inputs}
    except RuntimeError as exc:
        raise InvalidInput(f"images: this model's inputs of different pictures do not stack ({exc})") from exc
