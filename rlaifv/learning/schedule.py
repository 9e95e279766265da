"""The learning rate as a closed form of the step, so that a resumed run needs no scheduler state."""

from __future__ import annotations

import math


def learning_rate(step: int, total_steps: int, peak: float, warmup_ratio: float) -> float:
    """The rate of optimiser step `step` (from 0): linear warm-up, then a cosine to 0 (RLAIF-V's code: 5 % warm-up).

    Warm-up takes ceil(warmup_ratio * total_steps) steps and starts above 0, so that no step is lost.
    """
    warmup = math.ceil(warmup_ratio * total_steps)
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, total_steps - warmup)
    return peak * 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
