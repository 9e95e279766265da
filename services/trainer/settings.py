"""Settings of the trainer service."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from rlaifv.rpc.settings import Folders, ServiceSettings


class TrainerSettings(ServiceSettings):
    """Environment variables RLAIFV_TRAINER_*."""

    model_config = SettingsConfigDict(env_prefix="RLAIFV_TRAINER_")

    backend: Literal["huggingface", "fake"] = "huggingface"
    """What trains: torch in this process, or a counter of steps without a model."""
    allowed_roots: Folders = ()
    """Folders under which a job's pairs, policy and output must lie, ':' between them; empty allows any place."""
    torch_threads: int = Field(default=0, ge=0)
    """Threads that torch computes with; 0 leaves it to torch."""
    fake_steps: int = Field(default=4, gt=0)
    """Steps of a fake job."""
    fake_step_ms: float = Field(default=0.0, ge=0)
    """How long a step of a fake job takes, milliseconds."""
