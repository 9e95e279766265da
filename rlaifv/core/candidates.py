"""Prompts and the policy's answers to them (RLAIF-V, sec. 3.1: same model, same decoding parameters, different seeds)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from rlaifv.core.claims import content_id
from rlaifv.core.errors import InvalidInput
from rlaifv.core.images import Image


class FinishReason(StrEnum):
    """Why an answer ended."""

    STOP = "stop"
    """The policy ended it (end-of-sequence token)."""
    LENGTH = "length"
    """It reached `max_new_tokens`; its end is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One image and the instruction about it. `id` is unique within a run and stable between runs."""

    id: str
    image: Image
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Decoding parameters. `temperature` 0 is greedy; the paper samples at 0.7 with nothing else changed."""

    temperature: float = 0.7
    top_p: float = 1.0
    max_new_tokens: int = 512

    def __post_init__(self) -> None:
        if not 0.0 <= self.temperature <= 10.0:
            raise InvalidInput.field("sampling.temperature", self.temperature, "must be between 0 (greedy) and 10")
        if not 0.0 < self.top_p <= 1.0:
            raise InvalidInput.field("sampling.top_p", self.top_p, "must be over 0 and at most 1 (1 = off)")
        if not 1 <= self.max_new_tokens <= 65_536:
            raise InvalidInput.field("sampling.max_new_tokens", self.max_new_tokens, "must be 1 to 65536 tokens")


GREEDY = Sampling(temperature=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One answer of the policy to a prompt.

    `token_ids` and `token_logprobs` (natural log, fp32, under the untempered distribution of the policy) have one entry
    for each generated token, the end-of-sequence token included when the policy ended the answer.
    """

    prompt_id: str
    index: int
    seed: int
    text: str
    finish_reason: FinishReason
    policy_version: str
    token_ids: tuple[int, ...] = field(default=(), repr=False)
    token_logprobs: tuple[float, ...] = field(default=(), repr=False)

    @property
    def id(self) -> str:
        """Content hash of prompt, policy version, seed and text."""
        return content_id("candidate", self.prompt_id, self.policy_version, str(self.seed), self.text)
