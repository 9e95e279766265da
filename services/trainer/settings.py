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
    device: str = "cpu"
    """Where torch computes, for example cpu or cuda:0."""
    save_every_steps: int = Field(default=50, gt=0)
    """Optimiser steps between two states that a killed job can resume from."""
    save_every_s: float = Field(default=300.0, gt=0)
    """Longest time between two such states, seconds."""
    pack_tokens: int = Field(default=8192, gt=0)
    """Most tokens of prompts and answers in one forward pass, where the model's sequences can be packed."""
    reference_batch_size: int = Field(default=4, gt=0)
    """Pairs that go through the reference model at once, where they cannot."""
    feature_bytes: int = Field(default=1 << 30, ge=0)
    """Memory for the vision features of a job's pictures, bytes."""
    torch_threads: int = Field(default=0, ge=0)
    """Threads that torch computes with; 0 leaves it to torch."""
    fake_steps: int = Field(default=4, gt=0)
    """Steps of a fake job."""
    fake_step_ms: float = Field(default=0.0, ge=0)
    """How long a step of a fake job takes, milliseconds."""
