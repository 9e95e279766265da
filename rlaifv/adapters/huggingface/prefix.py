"""A prompt, or its beginning, as a decoder remembers it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefix:
    """A prompt that was read: keys and values of each layer (1, kv heads, tokens, width), and its last hidden state (width,)."""

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    tokens: int
    next_position: int
    last_hidden: Tensor

    @property
    def bytes(self) -> int:
        """Of keys and values, all layers."""
        return sum(part.numel() * part.element_size() for part in (*self.keys, *self.values))
