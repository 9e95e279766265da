"""Picture features in training: as much as is frozen is computed once per picture and job.

| what learns             | kept per picture                                       |
|-------------------------|--------------------------------------------------------|
| LoRA                    | the projected features                                 |
| projector and decoder   | the tower's output; the projector runs in every step   |
| the tower too           | nothing                                                |

Every picture is encoded alone, so that a feature has the same bits whether it was kept or is computed again after a resume.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from rlaifv.adapters.huggingface.chat import PreparedImage
from rlaifv.adapters.huggingface.vision import FeatureCache, VisionEncoder

Prepare = Callable[[str], PreparedImage]


class TrainingVision:
    """Forward arguments for the pictures of a batch. `digest` is that of the weights the frozen part came from."""

    def __init__(
        self,
        model: PreTrainedModel,
        digest: str,
        prepare: Prepare,
        *,
        projector_learns: bool,
        tower_learns: bool,
        max_bytes: int,
    ) -> None:
        self._encoder = VisionEncoder(model)
        self._digest = digest
        self._prepare = prepare
        self._features: FeatureCache[dict[str, Any]] = FeatureCache(max_bytes)
        self._tower: _RememberedTower | None = None
        self._keep_features = self._encoder.separable and not projector_learns and not tower_learns
        tower = vision_tower(model)
        if projector_learns and not tower_learns and tower is not None and _layers(model):
            self._tower = _RememberedTower(tower, _layers(model), max_bytes)

    def arguments(self, images: Sequence[str]) -> dict[str, Any]:
        """Forward arguments for sequences with one picture each, given by sha256."""
        if self._keep_features:
            return self._encoder.join([self._features_of(image) for image in images])
        if self._tower is None:
            return self._encoder.pixels([self._prepare(image) for image in images])
        self._tower.show([(self._digest, image) for image in images], self._pixels)
        # The tower answers from memory; what matters is that there are as many pictures as sequences.
        return {"pixel_values": torch.zeros((len(images), 1))}

    def _pixels(self, image: str) -> Tensor:
        pixels: Tensor = self._encoder.pixels([self._prepare(image)])["pixel_values"]
        return pixels

    def _features_of(self, image: str) -> dict[str, Any]:
        key = (self._digest, image)
        known = self._features.get(key)
        if known is None:
            with torch.no_grad():
                known = self._encoder.encode(self._prepare(image))
            self._features.put(key, known, known)
        return known


class _RememberedTower:
    """Stands in for a frozen tower's forward: the hidden states of the layers that are used, by picture."""

    def __init__(self, tower: nn.Module, layers: tuple[int, ...], max_bytes: int) -> None:
        self._forward = tower.forward
        self._layers = layers
        self._kept: FeatureCache[dict[int, Tensor]] = FeatureCache(max_bytes)
        self._shown: list[dict[int, Tensor]] = []
        self._output: Any = None
        tower.forward = self._answer

    def show(self, keys: Sequence[tuple[str, str]], pixels: Callable[[str], Tensor]) -> None:
        """Say which pictures the next forward is about."""
        self._shown = [self._states(key, pixels) for key in keys]

    def _states(self, key: tuple[str, str], pixels: Callable[[str], Tensor]) -> dict[int, Tensor]:
        known = self._kept.get(key)
        if known is None:
            with torch.no_grad():
                output = self._forward(pixels(key[1]), output_hidden_states=True, return_dict=True)
            count = len(output.hidden_states)
            known = {layer % count: output.hidden_states[layer] for layer in self._layers}
            self._output = (type(output), count)
            self._kept.put(key, known, known)
        return known

    def _answer(self, *_: Any, **__: Any) -> Any:
        kind, count = self._output
        states: list[Tensor | None] = [None] * count
        for layer in self._shown[0]:
            states[layer] = torch.cat([shown[layer] for shown in self._shown])
        return kind(hidden_states=tuple(states))


def vision_tower(model: PreTrainedModel) -> nn.Module | None:
    """The module that turns pixels into features, without the projector; None where transformers does not know it."""
    tower = model.get_encoder(modality="image")
    return tower if isinstance(tower, nn.Module) and tower is not model and tower is not model.base_model else None


def _layers(model: PreTrainedModel) -> tuple[int, ...]:
    """Which of the tower's hidden states the projector takes; empty for models that take something else."""
    layers = getattr(model.config, "vision_feature_layer", None)
    if isinstance(layers, int):
        return (layers,)
    return tuple(layers) if isinstance(layers, list | tuple) else ()
