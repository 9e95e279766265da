"""Settings of the labeler service."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from rlaifv.adapters.fake.behaviour import FakeBehaviour
from rlaifv.adapters.model_settings import ModelSettings


class LabelerSettings(ModelSettings):
    """Environment variables RLAIFV_LABELER_*."""

    model_config = SettingsConfigDict(env_prefix="RLAIFV_LABELER_")

    backend: Literal["huggingface", "fake"] = "huggingface"
    """What looks: transformers in this process, or scripted verdicts without a model."""
    branch_bytes: int = Field(default=256 * 1024 * 1024, gt=0)
    """Memory for the keys and values of questions in one forward pass, bytes."""
    decomposer: Literal["grammar", "remote", "fake"] = "grammar"
    """What divides whole answers for ScoreAnswers and RankAnswers: grammar in this process, a decomposer service, or a fake."""
    decomposer_target: str = ""
    """host:port of the decomposer service; needed where decomposer is remote."""
    decomposer_patience_s: float = Field(default=20.0, gt=0)
    """How long a decomposer service may be away before answers fail with UNAVAILABLE, seconds."""
    max_answer_bytes: int = Field(default=1024 * 1024, gt=0)
    """Longest answer, bytes of UTF-8; a longer one fails its item with OUT_OF_RANGE."""
    fake_behaviour: FakeBehaviour = FakeBehaviour.ANSWERS
    """What the fake backend does: answers, says neither yes nor no, is down, or is broken."""

    @model_validator(mode="after")
    def _remote_needs_a_target(self) -> Self:
        if self.decomposer == "remote" and not self.decomposer_target:
            raise ValueError("RLAIFV_LABELER_DECOMPOSER_TARGET is empty: a remote decomposer needs its host:port")
        return self
