"""Picture features in training: as much as is frozen is computed once per picture and job.

| what learns                        | kept per picture                                           |
|------------------------------------|------------------------------------------------------------|
| nothing that a picture goes through | its features                                              |
| the projector, not the tower       | what the projector takes of the tower's output              |
| the tower too                      | nothing                                                     |

Every picture is encoded alone, so that a feature has the same bits whether it was kept or is computed again after a resume. A
tower that holds its own projector (Qwen-VL's merger) is frozen or learns as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.nn import Parameter
from transformers import PreTrainedModel

from rlaifv.adapters.huggingface.chat import PreparedImage
from rlaifv.adapters.huggingface.vision import FeatureCache, VisionEncoder

Prepare = Callable[[str], PreparedImage]


class TrainingVision:
    """Forward arguments for the pictures of a batch. `digest` is that of the weights the frozen part came from."""

    def __init__(self, model: PreTrainedModel, digest: str, prepare: Prepare, *, max_bytes: int) -> None:
        """`model` with requires_grad set on what learns."""
        self._encoder = VisionEncoder(model)
        self._digest = digest
        self._prepare = prepare
        self._features: FeatureCache[dict[str, Any]] = FeatureCache(max_bytes)
        self._tower: _RememberedTower | None = None
        self._frozen = self._encoder.separable and not any(p.requires_grad for p in _picture_parameters(model))
        tower = vision_tower(model)
        if self._encoder.separable and not self._frozen and tower is not None and _is_frozen(tower):
            self._tower = _RememberedTower(tower, _layers(model), max_bytes)

    def arguments(self, images: Sequence[str]) -> dict[str, Any]:
        """Forward arguments for sequences with one picture each, given by sha256; each picture is encoded once."""
        encoded = {image: self._encoded(image) for image in dict.fromkeys(images)}
        return self._encoder.join([encoded[image] for image in images])

    def _encoded(self, image: str) -> dict[str, Any]:
        if self._frozen:
            return self._features_of(image)
        if self._tower is None:
            return self._encoder.encode(self._prepare(image))
        return self._encoder.encode(self._tower.show((self._digest, image), self._record))

    def _features_of(self, image: str) -> dict[str, Any]:
        key = (self._digest, image)
        known = self._features.get(key)
        if known is None:
            with torch.no_grad():
                known = self._encoder.encode(self._prepare(image))
            self._features.put(key, known, known)
        return known

    def _record(self, image: str) -> PreparedImage:
        """Let the tower see a picture; what is left of the picture is its layout and the shapes of its tensors."""
        prepared = self._prepare(image)
        with torch.no_grad():
            self._encoder.encode(prepared)
        # Not zeros: a tile of zeros is a tile that is not there (Idefics3).
        shapes = {
            n: v.new_ones(()).expand(v.shape) if n.startswith("pixel_") else v for n, v in prepared.inputs.items()
        }
        return replace(prepared, inputs=shapes)


class _RememberedTower:
    """Stands in for a frozen tower's forward and answers from memory, picture by picture.

    How a family calls its tower stays its own affair: the call is recorded as it comes.
    """

    def __init__(self, tower: nn.Module, layers: tuple[int, ...], max_bytes: int) -> None:
        self._forward = tower.forward
        self._layers = layers
        self._kept: FeatureCache[tuple[PreparedImage, type, dict[str, Any]]] = FeatureCache(max_bytes)
        self._answered: tuple[type, dict[str, Any]] | None = None
        self._recording = False
        tower.forward = self._answer

    def show(self, key: tuple[str, str], record: Callable[[str], PreparedImage]) -> PreparedImage:
        """Say which picture the next forward is about; returns the picture to encode, its pixels left out."""
        known = self._kept.get(key)
        if known is None:
            self._recording = True
            try:
                picture = record(key[1])
            finally:
                self._recording = False
            assert self._answered is not None
            known = (picture, *self._answered)
            self._kept.put(key, known, known[2])
        self._answered = known[1:]
        return known[0]

    def _answer(self, *args: Any, **kwargs: Any) -> Any:
        if self._recording:
            output = self._forward(*args, **kwargs)
            self._answered = (type(output), self._needed(output))
            return output
        assert self._answered is not None
        kind, fields = self._answered
        # A new object each time: families hang the projected features on it.
        return kind(**fields)

    def _needed(self, output: Any) -> dict[str, Any]:
        """What a projector may take: the layers that the configuration names, or else the last one."""
        states = output.get("hidden_states")
        if states is None or not self._layers:
            return {name: value for name, value in output.items() if name not in ("hidden_states", "attentions")}
        wanted = {layer % len(states) for layer in self._layers}
        return {"hidden_states": tuple(state if layer in wanted else None for layer, state in enumerate(states))}


def vision_tower(model: PreTrainedModel) -> nn.Module | None:
    """The module that turns pixels into features, without the projector; None where transformers does not know it."""
    tower = model.get_encoder(modality="image")
    return tower if isinstance(tower, nn.Module) and tower is not model and tower is not model.base_model else None


def _picture_parameters(model: PreTrainedModel) -> Iterator[Parameter]:
    """All that a picture goes through before the decoder: tower, projector, newline tokens …"""
    text = {id(p) for part in (model.get_decoder(), model.get_output_embeddings()) for p in part.parameters()}
    return (parameter for parameter in model.parameters() if id(parameter) not in text)


def _is_frozen(module: nn.Module) -> bool:
    return not any(parameter.requires_grad for parameter in module.parameters())


def _layers(model: PreTrainedModel) -> tuple[int, ...]:
    """Which of the tower's hidden states the projector takes; empty for models that take the last or something else."""
    layers = getattr(model.config, "vision_feature_layer", None)
    if isinstance(layers, int):
        return (layers,)
    return tuple(layers) if isinstance(layers, list | tuple) else ()
