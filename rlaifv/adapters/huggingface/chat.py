"""From a user's text and a picture to token ids: the one chat formatting for generating, labelling and training.

Every family writes a picture in its own way: one token repeated, tiles with their row and column, line breaks around it. The
model's processor says what the image token of a prompt becomes; here that is put into any other prompt about the same picture.

A user's text is cleaned of every special token first, so that exactly one image placeholder exists (reference fault 11).
Answers are encoded with special tokens taken as plain text, so that "<image>" or a role marker inside one trains like any
other words (fault 10).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from jinja2 import TemplateError
from PIL import Image as PilImage
from torch import Tensor

from rlaifv.core.errors import InvalidInput

_SENTINEL = "\ue000"
_PROBE = "What?"
_PER_TOKEN = {"input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids", "text_replacement_offsets"}
_PROCESSOR_ERRORS = (ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError, ArithmeticError)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedImage:
    """A picture through the model's own processor.

    `inputs` are the tensors the vision tower wants (pixel_values …). In the ids of a prompt the single image token, at index
    `at` after the ids `head`, becomes `placeholders`; `before` and `after` are text that goes around it (Gemma: line breaks).
    """

    inputs: dict[str, Tensor]
    at: int
    head: tuple[int, ...]
    placeholders: tuple[int, ...]
    before: str
    after: str

    def without_inputs(self) -> PreparedImage:
        """The token layout alone."""
        return replace(self, inputs={})


class ChatFormat:
    """The chat template, tokenizer and image processor of one model folder."""

    def __init__(self, processor: Any) -> None:
        """Raises InvalidInput if the processor has no chat template or its template does not take an image."""
        self.processor = processor
        self.tokenizer: Any = processor.tokenizer
        self.image_token: str = str(getattr(processor, "image_token", None) or "")
        self._image_id: int = self.tokenizer.convert_tokens_to_ids(self.image_token) if self.image_token else -1
        self._specials = _special_strings(processor)
        self._added = _added_strings(processor)
        self._bos: str | None = self.tokenizer.bos_token
        self._probe = self._template([_user(_PROBE)], add_generation_prompt=True)
        self._require_one_image()
        self._lead, self.answer_end = self._around_answers()

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
        """Run the processor over a picture once; prompts about it then need the tokenizer only.

        Raises InvalidInput for a picture that the processor refuses (Qwen-VL: sides over 200 times each other).
        """
        batch = self.process(picture, self._probe)
        full: list[int] = batch["input_ids"][0].tolist()
        before, after = self._around_image(batch)
        raw = self._encode(self._probe, before, after)
        at = raw.index(self._image_id)
        tail = len(raw) - at - 1
        if len(full) < len(raw) or full[:at] != raw[:at] or full[len(full) - tail :] != raw[at + 1 :]:
            raise InvalidInput(
                "model: its processor changes more of a prompt than the image token; it is not supported"
            )
        return PreparedImage(
            inputs={name: value for name, value in batch.items() if name not in _PER_TOKEN},
            at=at,
            head=tuple(raw[:at]),
            placeholders=tuple(full[at : len(full) - tail]),
            before=before,
            after=after,
        )

    def process(self, picture: PilImage.Image, rendered: str) -> Any:
        """What the model's processor makes of a picture and a rendered prompt: a batch of one. Errors as `prepare`."""
        try:
            return self.processor(
                images=[picture],
                text=rendered,
                return_tensors="pt",
                return_text_replacement_offsets=True,
                **self._special_rule(rendered),
            )
        except _PROCESSOR_ERRORS as exc:
            shown = f"{picture.size[0]}x{picture.size[1]} px"
            raise InvalidInput.field("image", shown, f"the model's processor refuses it ({exc})") from exc

    def prompt_ids(self, rendered: str, image: PreparedImage) -> tuple[int, ...]:
        """Token ids of a rendered prompt with the picture's placeholders in it."""
        raw = self._encode(rendered, image.before, image.after)
        if tuple(raw[: image.at]) != image.head or raw[image.at] != self._image_id:
            raise InvalidInput.field("prompt.text", rendered, "the chat template puts text before the image")
        return (*raw[: image.at], *image.placeholders, *raw[image.at + 1 :])

    def answer_ids(self, rendered: str, answer: str) -> tuple[int, ...]:
        """Token ids of an answer as it follows the rendered prompt, without the end of sequence."""
        tail = rendered[max((rendered.rfind(s) + len(s) for s in self._specials if s in rendered), default=0) :]
        before = self._plain(tail)
        whole = self._plain(tail + self._lead + answer)
        if whole[: len(before)] == before:
            return tuple(whole[len(before) :])
        # The prompt ends in the middle of a token of the two together: begin a line instead, which no token goes over.
        line = self._plain("\n")
        begun = self._plain(f"\n{self._lead}{answer}")
        return tuple(begun[len(line) :] if begun[: len(line)] == line else self._plain(self._lead + answer))

    def text_of(self, ids: list[int]) -> str:
        """The text of generated ids, special tokens left out, white space around it removed."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)).strip()

    def _require_one_image(self) -> None:
        found = self._encode(self._probe, "", "").count(self._image_id) if self.image_token else 0
        if found != 1:
            raise InvalidInput(
                f"model: its chat template writes {found} image tokens ({self.image_token!r}) for one picture; a template "
                "with an image is needed"
            )

    def _around_image(self, batch: Any) -> tuple[str, str]:
        """The text that the processor puts before and after a picture's tokens."""
        replaced = batch.get("text_replacement_offsets")
        if not replaced or len(replaced[0]) != 1:
            raise InvalidInput("model: its processor does not say what the image token of a prompt becomes")
        written = str(replaced[0][0]["replacement"])
        start = next((at for at in range(len(written)) if written.startswith(self._added, at)), None)
        end = next((at for at in range(len(written), 0, -1) if written.endswith(self._added, 0, at)), None)
        if start is None or end is None:
            raise InvalidInput(f"model: its processor writes a picture without special tokens ({written[:80]!r})")
        return written[:start], written[end:]

    def _around_answers(self) -> tuple[str, int | None]:
        """What the template puts before an assistant's answer (LLaVA 1.5: a space), and the special token that it ends with."""
        turn = {"role": "assistant", "content": [{"type": "text", "text": _SENTINEL}]}
        try:
            full = self._template([_user(_PROBE), turn])
        except InvalidInput:
            return "", None
        start = full.find(_SENTINEL)
        if start < 0 or not full.startswith(self._probe):
            return "", None
        rest = full[start + len(_SENTINEL) :].lstrip()
        end = next((token for token in self._added if rest.startswith(token)), None)
        return full[len(self._probe) : start], self.tokenizer.convert_tokens_to_ids(end) if end else None

    def _template(self, messages: list[dict[str, Any]], add_generation_prompt: bool = False) -> str:
        try:
            return str(
                self.processor.apply_chat_template(
                    messages,
                    add_generation_prompt=add_generation_prompt,
                    tokenize=False,
                    # Of no effect without tokenizing; without any, SmolVLM's processor warns at every prompt.
                    processor_kwargs={"return_tensors": "pt"},
                )
            )
        except (ValueError, TypeError, KeyError, AttributeError, TemplateError) as exc:
            raise InvalidInput(
                f"model: its chat template cannot be used ({exc}); a template with an image is needed"
            ) from exc

    def _special_rule(self, rendered: str) -> dict[str, bool]:
        # A template that writes the beginning-of-sequence token itself must not get a second one.
        return {"add_special_tokens": not (self._bos and rendered.startswith(self._bos))}

    def _encode(self, rendered: str, before: str, after: str) -> list[int]:
        text = rendered.replace(self.image_token, f"{before}{self.image_token}{after}", 1)
        return list(self.tokenizer(text, **self._special_rule(rendered))["input_ids"])

    def _plain(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])


def _user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}


def _special_strings(processor: Any) -> list[str]:
    tokenizer = processor.tokenizer
    added = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    named = {str(token) for token in tokenizer.all_special_tokens}
    media = {str(getattr(processor, f"{kind}_token", None) or "") for kind in ("image", "video", "audio")}
    return sorted(((added | named | media) - {""}), key=lambda token: (-len(token), token))


def _added_strings(processor: Any) -> tuple[str, ...]:
    """All strings that the tokenizer never divides, longest first, but for white space (Gemma adds runs of line breaks): that
    is text."""
    added = {str(token) for token in processor.tokenizer.added_tokens_decoder.values()}
    found = {token for token in (*added, *_special_strings(processor)) if token.strip()}
    return tuple(sorted(found, key=lambda token: (-len(token), token)))
