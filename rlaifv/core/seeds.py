"""Seeds are functions of what they are for, never of time, order or process (reference fault 9: unseeded sampling)."""

from __future__ import annotations

import hashlib


def derive_seed(run_seed: int, *parts: str | int) -> int:
    """A 63-bit seed, a pure function of the run's seed and the named parts (purpose, prompt id, candidate index …)."""
    text = "\x1f".join(str(part) for part in (run_seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def candidate_seed(run_seed: int, prompt_id: str, iteration: int, index: int) -> int:
    """The sampling seed of candidate `index` for a prompt in an iteration: "same decoding, different seeds" (sec. 3.1)."""
    return derive_seed(run_seed, "candidate", prompt_id, iteration, index)
