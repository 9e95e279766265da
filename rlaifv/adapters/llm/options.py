"""What the LLM decomposer can be told; services/decomposer/settings.py says what each means to an operator."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from rlaifv.adapters.llm.prompts import PROMPT_VERSION

Guided = Literal["json_schema", "json_object", "off"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointOptions:
    """Where the model is and how it is asked. `api_key` is not shown; "" sends none that means anything."""

    url: str
    model: str
    api_key: str = field(default="", repr=False)
    guided: Guided = "json_schema"
    temperature: float = 0.0
    seed: int = 0
    max_output_tokens: int = 4096
    extra_body: dict[str, Any] = field(default_factory=dict)
    timeout_s: float = 120.0
    patience_s: float = 60.0
    max_in_flight: int = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmOptions:
    """How answers are cut, how often the model is asked again, and how much is kept."""

    endpoint: EndpointOptions
    window_chars: int = 1500
    overlap_chars: int = 300
    repeats: int = 1
    max_queue: int = 4096
    cache_entries: int = 20_000
    cache_bytes: int = 64 * 1024 * 1024

    @property
    def version(self) -> str:
        """Prompt, model and every setting that can change a result: equal versions are meant to give equal claims."""
        asked = self.endpoint
        parts = [
            f"llm/{PROMPT_VERSION}+{asked.model}",
            asked.guided,
            f"temperature={asked.temperature:g}",
            f"seed={asked.seed}",
            f"tokens={asked.max_output_tokens}",
            f"window={self.window_chars}/{self.overlap_chars}",
            f"repeats={self.repeats}",
        ]
        if asked.extra_body:
            parts.append(f"extra={json.dumps(asked.extra_body, sort_keys=True, separators=(',', ':'))}")
        return " ".join(parts)
