"""Pictures into a model: the one place that knows how transformers takes image features, with a plain fallback.

Every picture is encoded alone, so that its features depend on nothing but the weights and the picture; caches are keyed by
the digest of the weights, so that a new checkpoint is never answered from an old one's features.
"""

from __future__ import annotations

import inspect
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rlaifv.adapters.huggingface.chat import PreparedImage
from rlaifv.core.errors import InvalidInput

Value = TypeVar("Value")

_HEAVY = {"last_hidden_state", "hidden_states", "attentions"}
"""What a tower gives besides the features that the decoder takes."""

FeatureKey = tuple[str, str]
"""(digest of the weights, sha256 of the picture)."""


class VisionEncoder:
    """Turns prepared pictures into the keyword arguments a forward pass wants."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self._accepted = set(inspect.signature(model.forward).parameters)
        self.separable = "mm_encoder_outputs" in self._accepted and hasattr(model, "get_image_features")
        self._wanted = (
            set(inspect.signature(model.get_image_features).parameters) if self.separable else frozenset[str]()
        )

    def encode(self, image: PreparedImage) -> dict[str, Any]:
        """Forward arguments for one picture: its features, or its pixels where the model cannot be split."""
        inputs = self._on_device(image.inputs)
        if not self.separable:
            return inputs
        named = {name: value for name, value in inputs.items() if name in self._wanted}
        output = self._model.get_image_features(**named, return_dict=True)
        features = type(output)(**{name: value for name, value in output.items() if name not in _HEAVY})
        # What else describes the picture (its grid of patches …) the decoder may want too.
        rest = {n: v for n, v in inputs.items() if not n.startswith("pixel_") and n in self._accepted}
        return {"mm_encoder_outputs": {"image": features}, **rest}

    def join(self, encoded: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Forward arguments for a batch of sequences with one picture each, from those of the single pictures.

        Raises InvalidInput where a model's arguments for several pictures cannot be made of those for single ones.
        """
        tensors = {n: _joined([one[n] for one in encoded]) for n, v in encoded[0].items() if isinstance(v, Tensor)}
        if not self.separable:
            return tensors
        outputs = [one["mm_encoder_outputs"]["image"] for one in encoded]
        parts = {name: _joined([output[name] for output in outputs]) for name in outputs[0]}
        return {"mm_encoder_outputs": {"image": type(outputs[0])(**parts)}, **tensors}

    def _on_device(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        device, dtype = self._model.device, self._model.dtype
        return {
            name: value.to(device, dtype) if value.is_floating_point() else value.to(device)
            for name, value in inputs.items()
        }


class FeatureCache(Generic[Value]):
    """Encoded pictures, least recently used dropped first, at most `max_bytes` of tensors. Safe between threads."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[FeatureKey, tuple[Value, int]] = OrderedDict()
        self._lock = threading.Lock()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: FeatureKey) -> Value | None:
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries.move_to_end(key)
            return entry[0]

    def put(self, key: FeatureKey, value: Value, tensors: object) -> None:
        """Keep `value`; `tensors` (in dicts and lists) is what it weighs. Nothing is kept that alone is over the limit."""
        size = sum(tensor.numel() * tensor.element_size() for tensor in _tensors(tensors))
        if size > self._max_bytes:
            return
        with self._lock:
            self._drop(key)
            self._entries[key] = (value, size)
            self.bytes += size
            while self.bytes > self._max_bytes:
                self._drop(next(iter(self._entries)))

    def _drop(self, key: FeatureKey) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.bytes -= entry[1]


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _tensors(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)


def _joined(parts: Sequence[Any]) -> Any:
    """What holds one entry a picture or tile is chained; what holds one entry a layer of the tower (Qwen3-VL), layer by layer."""
    first = parts[0]
    if isinstance(first, Tensor):
        try:
            return torch.cat(list(parts))
        except RuntimeError as exc:
            raise InvalidInput(f"images: this model's inputs of different pictures do not stack ({exc})") from exc
    if isinstance(first, list | tuple) and all(isinstance(entry, Tensor) for entry in first):
        return [entry for part in parts for entry in part]
    if isinstance(first, list | tuple):
        return [_joined(layer) for layer in zip(*parts, strict=True)]
    raise InvalidInput(f"model: features of several pictures cannot be joined ({type(first).__name__})")


_KINDS = ("mm_token_type_ids", "token_type_ids")


def token_kinds(model: PreTrainedModel, ids: Tensor) -> dict[str, Tensor]:
    """The forward arguments that say which ids (sequences, tokens) are the picture's, for models that ask for them.

    Qwen-VL places the picture's tokens in three dimensions by them, Gemma 3 lets them attend in both directions.
    """
    asked = inspect.signature(model.base_model.forward).parameters
    return {name: (ids == model.config.image_token_id).int() for name in _KINDS if name in asked}
