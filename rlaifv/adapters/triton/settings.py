"""Settings of the labeler inside Triton; its launcher and the model itself read the same ones."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from rlaifv.adapters.images import ImageLimits
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.training import Precision
from rlaifv.rpc.settings import StrictSettings

_LIMITS: Final = ImageLimits()


class TritonSettings(StrictSettings):
    """Environment variables RLAIFV_TRITON_*. Those about the model may also be parameters in its config.pbtxt, which win."""

    model_config = SettingsConfigDict(env_prefix="RLAIFV_TRITON_")

    model: str = ""
    """Folder of the Hugging Face model that answers."""
    model_digest: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    """Digest that the folder must have, 64 hex digits; empty is not compared."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Number format of the weights. With fp32 no verdict depends on what else is in its batch."""
    device: str = "cpu"
    """Where torch computes, for example cpu or cuda:0."""
    torch_threads: int = Field(default=0, ge=0)
    """Threads that torch computes with; 0 leaves it to torch."""
    feature_cache_bytes: int = Field(default=256 * 1024 * 1024, ge=0)
    """Memory for the vision features of pictures seen lately, bytes."""
    branch_bytes: int = Field(default=1024 * 1024 * 1024, gt=0)
    """Memory for the keys and values of questions in one forward pass, bytes."""
    max_image_bytes: int = Field(default=_LIMITS.max_bytes, gt=0)
    """Largest encoded image, bytes; a larger one fails its request."""
    max_image_side_px: int = Field(default=_LIMITS.max_side_px, gt=0)
    """Longest side of an image, pixels."""
    host: str = "127.0.0.1"
    """Address that gRPC and metrics listen on; 0.0.0.0 in a container."""
    port: int = Field(default=0, ge=0, le=65_535)
    """gRPC port; 0 takes a free one (see ports_file)."""
    metrics_port: int = Field(default=0, ge=0, le=65_535)
    """Port of Triton's own Prometheus metrics, path /metrics; 0 takes a free one."""
    ports_file: Path | None = None
    """File that gets {"grpc": ..., "metrics": ..., "pid": ...} as JSON as soon as the model answers."""
    repository: Path | None = None
    """Folder of the model repository; none is deploy/triton/model_repository beside the sources."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level of log lines; they go to stderr."""
    drain_s: float = Field(default=30.0, ge=0)
    """Longest time after SIGTERM in which requests in flight may end, seconds."""
    liveness_interval_s: float = Field(default=2.0, gt=0)
    """How often the launcher asks the model something, seconds; Triton itself goes on saying ready after its model died."""
    liveness_timeout_s: float = Field(default=120.0, gt=0)
    """How long the model may leave that question unanswered, seconds; then the server is killed. Longer than any batch takes."""

    @model_validator(mode="after")
    def _needs_a_model(self) -> TritonSettings:
        if not self.model:
            raise ValueError("RLAIFV_TRITON_MODEL is empty: name the folder of a Hugging Face model")
        return self

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint(uri=self.model, digest=self.model_digest)

    @property
    def number_format(self) -> Precision:
        return Precision(self.precision)

    @property
    def image_limits(self) -> ImageLimits:
        return ImageLimits(max_bytes=self.max_image_bytes, max_side_px=self.max_image_side_px)
