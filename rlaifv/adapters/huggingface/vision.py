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
from transformers.modeling_outputs import BaseModelOutputWithPooling

from rlaifv.adapters.huggingface.chat import PreparedImage, stack_inputs

Value = TypeVar("Value")

FeatureKey = tuple[str, str]
"""(digest of the weights, sha256 of the picture)."""


class VisionEncoder:
    """Turns prepared pictures into the keyword arguments a forward pass wants."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        takes_features = "mm_encoder_outputs" in inspect.signature(model.forward).parameters
        self.separable = takes_features and hasattr(model, "get_image_features")
        self._arguments = (
            set(inspect.signature(model.get_image_features).parameters) if self.separable else frozenset[str]()
        )

    def encode(self, image: PreparedImage) -> dict[str, Any]:
        """Forward arguments for one picture: its features, or its pixels where the model cannot be split."""
        if not self.separable:
            return dict(self._on_device(image.inputs))
        inputs = self._on_device(image.inputs)
        named = {name: value for name, value in inputs.items() if name in self._arguments}
        output = self._model.get_image_features(**named, return_dict=True)
        slim = BaseModelOutputWithPooling(pooler_output=list(output.pooler_output))
        return {"mm_encoder_outputs": {"image": slim}}

    def join(self, encoded: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Forward arguments for a batch of sequences with one picture each, from those of the single pictures."""
        if not self.separable:
            names = encoded[0]
            return {name: torch.cat([one[name] for one in encoded]) for name in names}
        parts = [part for one in encoded for part in one["mm_encoder_outputs"]["image"].pooler_output]
        return {"mm_encoder_outputs": {"image": BaseModelOutputWithPooling(pooler_output=parts)}}

    def pixels(self, images: Sequence[PreparedImage]) -> dict[str, Any]:
        """Forward arguments that leave the vision tower to the forward pass itself (with gradients, if it learns)."""
        return dict(self._on_device(stack_inputs(list(images))))

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
