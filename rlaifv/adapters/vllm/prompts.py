"""From an image and a text to what vLLM takes: the same decoding, cleaning and chat template as everywhere else."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image as PilImage
from transformers import AutoConfig, AutoProcessor, GenerationConfig

from rlaifv.adapters.huggingface.chat import ChatFormat
from rlaifv.adapters.images import ImageSources, decode, fetch
from rlaifv.core.errors import InvalidInput
from rlaifv.core.images import Image


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPrompt:
    """A prompt before vLLM's processor: ids with one placeholder for the picture, and the picture with its SHA-256."""

    ids: list[int]
    picture: PilImage.Image
    sha256: str


class PromptReader:
    """Reads prompts with the chat template and the tokenizer of one model folder; thread-safe."""

    def __init__(self, folder: Path, sources: ImageSources) -> None:
        """Raises InvalidInput where the folder has no usable processor, chat template or end of sequence."""
        self.chat = ChatFormat(_processor(folder))
        self.end_tokens = _end_tokens(folder, self.chat)
        self._sources = sources

    def like(self, folder: Path) -> PromptReader:
        """A reader of another folder. Raises InvalidInput unless its tokenizer and picture processing are this one's, which
        vLLM reads at a start only."""
        other = PromptReader(folder, self._sources)
        for what, mine, theirs in zip(
            ("tokenizer", "processor"), _essence(self.chat), _essence(other.chat), strict=True
        ):
            if mine != theirs:
                raise InvalidInput.field(
                    "checkpoint.uri", str(folder), f"its {what} differs from the served one; start the service with it"
                )
        return other

    def read(self, image: Image, text: str) -> ReadPrompt:
        """Blocking. Errors as `images.fetch`, `images.decode` and `ChatFormat.render`."""
        rendered = self.chat.render(text)
        data = fetch(image, self._sources)
        return ReadPrompt(
            ids=self._ids(rendered),
            picture=decode(data, self._sources.limits),
            sha256=hashlib.sha256(data).hexdigest(),
        )

    def probe(self) -> ReadPrompt:
        """A fixed prompt, to ask what the loaded weights say."""
        picture = PilImage.linear_gradient("L").resize((96, 64)).convert("RGB")
        return ReadPrompt(ids=self._ids(self.chat.render("What is in the picture?")), picture=picture, sha256="probe")

    def _ids(self, rendered: str) -> list[int]:
        begin = self.chat.tokenizer.bos_token
        return list(
            self.chat.tokenizer(rendered, add_special_tokens=not (begin and rendered.startswith(begin))).input_ids
        )


def _essence(chat: ChatFormat) -> tuple[Any, Any]:
    """All that decides about ids, and all that decides about pixels."""
    processor = {
        key: value for key, value in chat.processor.to_dict().items() if key not in ("chat_template", "tokenizer")
    }
    return chat.tokenizer.backend_tokenizer.to_str(), processor


def _processor(folder: Path) -> Any:
    try:
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, RuntimeError) as exc:
        reason = (str(exc).strip().splitlines() or [type(exc).__name__])[0][:200]
        raise InvalidInput.field("checkpoint.uri", str(folder), f"its processor does not load: {reason}") from exc
    if getattr(processor, "tokenizer", None) is None or getattr(processor, "image_processor", None) is None:
        raise InvalidInput.field("checkpoint.uri", str(folder), "its processor lacks a tokenizer or an image processor")
    return processor


def _end_tokens(folder: Path, chat: ChatFormat) -> tuple[int, ...]:
    """All ids that end an answer: the tokenizer's, the generation configuration's and the text model's."""
    config = AutoConfig.from_pretrained(folder, local_files_only=True).get_text_config()
    found = [chat.tokenizer.eos_token_id, config.eos_token_id]
    if (folder / "generation_config.json").is_file():
        found.insert(1, GenerationConfig.from_pretrained(folder, local_files_only=True).eos_token_id)
    flat = [token for entry in found for token in (entry if isinstance(entry, list) else [entry])]
    tokens = tuple(dict.fromkeys(int(token) for token in flat if token is not None))
    if not tokens:
        raise InvalidInput("model: neither tokenizer nor configuration names an end-of-sequence token")
    return tokens
