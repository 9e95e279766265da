"""Settings of the policy service."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from rlaifv.adapters.model_settings import ModelSettings


class PolicySettings(ModelSettings):
    """Environment variables RLAIFV_POLICY_*."""

    model_config = SettingsConfigDict(env_prefix="RLAIFV_POLICY_")

    backend: Literal["huggingface", "fake"] = "huggingface"
    """What answers: transformers in this process, or scripted answers without a model."""
    max_rows: int = Field(default=96, gt=0)
    """Most samples that are decoded together."""
