"""From an image and a text to a prefix the decoder can branch from; what policy and labeler have in common."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rlaifv.adapters.huggingface.chat import PreparedImage
from rlaifv.adapters.huggingface.decoder import Decoder
from rlaifv.adapters.huggingface.loading import LoadedModel
from rlaifv.adapters.huggingface.prefix import Prefix
from rlaifv.adapters.huggingface.probe import prove_reading
from rlaifv.adapters.huggingface.vision import FeatureCache, VisionEncoder
from rlaifv.adapters.images import ImageSources, decode, fetch
from rlaifv.core.images import Image


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenImage:
    """A picture as the model takes it: token layout, and the forward arguments that carry its features."""

    prepared: PreparedImage
    arguments: dict[str, Any]


class ImageReader:
    """Reads pictures and prompts with one version of a model; features are cached under that version's digest."""

    def __init__(
        self, loaded: LoadedModel, decoder: Decoder, features: FeatureCache[SeenImage], sources: ImageSources
    ) -> None:
        """Raises InvalidInput for a model that cannot be read in parts (probe.py)."""
        self._loaded = loaded
        self._decoder = decoder
        self._features = features
        self._sources = sources
        self._vision = VisionEncoder(loaded.model)
        prove_reading(loaded, decoder, self._vision)

    def see(self, image: Image) -> SeenImage:
        """Decode, process and encode a picture. Errors as `images.fetch` and `images.decode`."""
        data = fetch(image, self._sources)
        key = (self._loaded.digest, hashlib.sha256(data).hexdigest())
        known = self._features.get(key)
        if known is None:
            prepared = self._loaded.chat.prepare(decode(data, self._sources.limits))
            # The pixels are in the arguments if the model needs them still.
            known = SeenImage(prepared=prepared.without_inputs(), arguments=self._vision.encode(prepared))
            self._features.put(key, known, known.arguments)
        return known

    def read(self, ids: Sequence[int], seen: SeenImage) -> Prefix:
        """The decoder's state after `ids`, which hold the picture's placeholders. Raises InvalidInput if too long."""
        return self._decoder.read(ids, seen.arguments)

    def read_prompt(self, image: Image, text: str) -> Prefix:
        """A whole prompt, ready for its answer. Raises InvalidInput if it is empty or too long; nothing is cut off."""
        rendered = self._loaded.chat.render(text)
        seen = self.see(image)
        return self.read(self._loaded.chat.prompt_ids(rendered, seen.prepared), seen)
