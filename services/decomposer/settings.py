"""Settings of the decomposer service."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from rlaifv.rpc.settings import ServiceSettings


class DecomposerSettings(ServiceSettings):
    """Environment variables RLAIFV_DECOMPOSER_*."""

    model_config = SettingsConfigDict(env_prefix="RLAIFV_DECOMPOSER_")

    backend: Literal["grammar", "llm", "fake"] = "grammar"
    """What divides: English grammar (spaCy), a language model behind an endpoint, or one claim a sentence without any model."""
    max_queue: int = Field(default=4096, gt=0)
    """Most answers that wait, over all streams; further ones get RESOURCE_EXHAUSTED. For llm those at work count too."""
    max_answer_bytes: int = Field(default=1024 * 1024, gt=0)
    """Longest answer, bytes of UTF-8; a longer one fails its item with OUT_OF_RANGE."""
    llm_url: str = Field(default="", pattern=r"^(https?://\S+)?$")
    """Base address of an OpenAI-compatible endpoint, as http://host:8000/v1; needed where the backend is llm."""
    llm_model: str = ""
    """Name of the model there, one of those that GET /models lists; needed where the backend is llm."""
    llm_api_key_file: Path | None = None
    """File that holds the endpoint's key and nothing else; read once, at the start. Absent: no key."""
    llm_guided: Literal["json_schema", "json_object", "off"] = "json_schema"
    """How the endpoint is told to reply in JSON: by a schema, just in JSON, or by the prompt alone."""
    llm_temperature: float = Field(default=0.0, ge=0, le=2)
    """Sampling temperature; 0 takes the likeliest token each time."""
    llm_seed: int = 0
    """Seed that goes with every request; an endpoint may ignore it."""
    llm_max_output_tokens: int = Field(default=4096, gt=0)
    """Longest reply to one window, tokens; a window whose reply is longer is halved."""
    llm_extra_body: str = ""
    """JSON object with further fields of every request, as {"chat_template_kwargs": {"enable_thinking": false}}."""
    llm_window_chars: int = Field(default=1500, ge=100)
    """Most of an answer that goes into one request, characters; longer answers take several."""
    llm_overlap_chars: int = Field(default=300, ge=0)
    """What a window repeats of the one before, whole sentences of so many characters, so that "it" is understood; 0: nothing."""
    llm_repeats: int = Field(default=1, ge=0, le=5)
    """How often a window is asked about again where the reply breaks a rule; then the broken claims are left out."""
    llm_max_in_flight: int = Field(default=32, gt=0)
    """Most requests to the endpoint at once; further ones wait here."""
    llm_timeout_s: float = Field(default=120.0, gt=0)
    """Longest time for one request, seconds."""
    llm_patience_s: float = Field(default=60.0, ge=0)
    """How long an endpoint that is away, busy or failing is asked again before the answer fails, seconds; 0 asks once."""
    llm_startup_s: float = Field(default=600.0, ge=0)
    """How long to wait at the start for an endpoint that is away, seconds; health is NOT_SERVING meanwhile."""
    llm_on_failure: Literal["fail", "grammar"] = "fail"
    """What becomes of an answer that the model fails on: it fails with the reason, or English grammar divides it (counted)."""
    llm_cache_entries: int = Field(default=20_000, ge=0)
    """Most windows whose division is remembered."""
    llm_cache_bytes: int = Field(default=64 * 1024 * 1024, ge=0)
    """Memory for them, bytes, about."""

    @property
    def extra_body(self) -> dict[str, Any]:
        """`llm_extra_body`, read."""
        return dict(json.loads(self.llm_extra_body)) if self.llm_extra_body else {}

    @model_validator(mode="after")
    def _llm_is_complete(self) -> Self:
        if self.backend == "llm":
            for name, value in (("LLM_URL", self.llm_url), ("LLM_MODEL", self.llm_model)):
                if not value:
                    raise ValueError(f"RLAIFV_DECOMPOSER_{name} is empty: the backend llm needs it")
        return self

    @model_validator(mode="after")
    def _extra_body_is_an_object(self) -> Self:
        try:
            found = json.loads(self.llm_extra_body or "{}")
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ValueError(f"RLAIFV_DECOMPOSER_LLM_EXTRA_BODY = {self.llm_extra_body!r}: must be a JSON object")
        return self
