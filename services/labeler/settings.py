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

    backend: Literal["huggingface", "triton", "fake"] = "huggingface"
    """What looks: transformers in this process, a Triton that serves the model, or scripted verdicts without a model."""
    triton_target: str = ""
    """host:port of Triton's gRPC; needed where backend is triton. Its settings, not these, say which model answers and how."""
    triton_model: str = Field(default="labeler", min_length=1)
    """Name of the labeler in Triton's model repository."""
    triton_patience_s: float = Field(default=60.0, ge=0)
    """How long Triton may be away before questions fail with UNAVAILABLE, seconds; they wait meanwhile."""
    triton_timeout_s: float = Field(default=120.0, gt=0)
    """How long Triton may take for one request, waiting in its queue included, seconds."""
    triton_probe_s: float = Field(default=30.0, gt=0)
    """How long Triton may say nothing at all before this service is NOT_SERVING, seconds; one that is down is noticed at once."""
    triton_max_in_flight: int = Field(default=64, gt=0)
    """Most requests at Triton at once; the others wait in this service's queue."""
    triton_max_request_bytes: int = Field(default=32 * 1024 * 1024, gt=0)
    """Largest request to Triton, bytes of image and questions; more questions are sent in several requests."""
    triton_max_request_questions: int = Field(default=256, gt=0)
    """Most questions in one request to Triton; more are sent in several requests."""
    image_cache_bytes: int = Field(default=256 * 1024 * 1024, ge=0)
    """Where backend is triton: memory for encoded images that came by address, bytes."""
    branch_bytes: int = Field(default=1024 * 1024 * 1024, gt=0)
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
    def _what_is_elsewhere_needs_a_target(self) -> Self:
        if self.decomposer == "remote" and not self.decomposer_target:
            raise ValueError("RLAIFV_LABELER_DECOMPOSER_TARGET is empty: a remote decomposer needs its host:port")
        if self.backend == "triton" and not self.triton_target:
            raise ValueError("RLAIFV_LABELER_TRITON_TARGET is empty: the triton backend needs its host:port")
        return self
