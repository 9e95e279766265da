"""What services with a multimodal model can be told: which model, how its queue batches, which images it reads."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from rlaifv.adapters.images import ImageLimits, ImageSources
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.training import Precision
from rlaifv.rpc.settings import Folders, ServiceSettings

_LIMITS: Final = ImageLimits()


class ModelSettings(ServiceSettings):
    """Settings that policy and labeler share."""

    model: str = Field(default="fake:", min_length=1)
    """Folder of the Hugging Face model to serve from the start; "fake:" is the fake backend's own."""
    model_digest: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    """Digest that the folder must have, 64 hex digits; empty is not compared."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Number format of the weights. With fp32 no answer depends on what else is in its batch."""
    device: str = "cpu"
    """Where torch computes, for example cpu or cuda:0."""
    torch_threads: int = Field(default=0, ge=0)
    """Threads that torch computes with; 0 leaves it to torch."""
    max_queue: int = Field(default=1024, gt=0)
    """Most items that wait for the model, over all streams; further ones get RESOURCE_EXHAUSTED."""
    feature_cache_bytes: int = Field(default=256 * 1024 * 1024, ge=0)
    """Memory for the vision features of pictures seen lately, bytes."""
    max_image_bytes: int = Field(default=_LIMITS.max_bytes, gt=0)
    """Largest encoded image, bytes; a larger one fails its item with OUT_OF_RANGE."""
    max_image_side_px: int = Field(default=_LIMITS.max_side_px, gt=0)
    """Longest side of an image, pixels."""
    image_roots: Folders = ()
    """Folders whose files an image's file:// address may name, ':' between them; none by default."""
    allow_http: bool = False
    """Whether an image's address may be http(s)://. Whoever may call can then make this service fetch."""
    fake_latency_ms: float = Field(default=0.0, ge=0)
    """How long the fake backend takes for an item, milliseconds."""

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint(uri=self.model, digest=self.model_digest)

    @property
    def number_format(self) -> Precision:
        return Precision(self.precision)

    @property
    def image_sources(self) -> ImageSources:
        limits = ImageLimits(max_bytes=self.max_image_bytes, max_side_px=self.max_image_side_px)
        return ImageSources(roots=self.image_roots, allow_http=self.allow_http, limits=limits)
