"""Which weights: a checkpoint is a place and a digest, and everything made with it carries the digest."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A Hugging Face model folder. `digest` is the hex digest of its weights and processor files; it is the model's version."""

    uri: str
    digest: str
