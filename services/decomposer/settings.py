"""Settings of the decomposer service."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from rlaifv.rpc.settings import ServiceSettings


class DecomposerSettings(ServiceSettings):
    """Environment variables RLAIFV_DECOMPOSER_*."""

    model_config = SettingsConfigDict(env_prefix="RLAIFV_DECOMPOSER_")

    backend: Literal["grammar", "fake"] = "grammar"
    """What divides: English grammar (spaCy), or one claim a sentence without any model."""
    max_queue: int = Field(default=4096, gt=0)
    """Most answers that wait, over all streams; further ones get RESOURCE_EXHAUSTED."""
    max_answer_bytes: int = Field(default=1024 * 1024, gt=0)
    """Longest answer, bytes of UTF-8; a longer one fails its item with OUT_OF_RANGE."""
