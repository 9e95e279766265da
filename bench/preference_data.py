"""Preference pairs to measure training with: two pairs a prompt, each prompt about a picture of its own."""

from __future__ import annotations

import random
from pathlib import Path

from bench.scenes import answer_text, picture
from rlaifv.adapters.preferences import PreferenceRow, write_preferences

PAIRS_PER_PROMPT = 2
"""At most so many does the published code take from the candidates of one prompt (RLAIF-V, reference code)."""

_QUESTIONS = (
    "Describe the picture in detail.",
    "Please describe everything that you see in this image.",
    "What do you see in this image?",
    "What is on the left, in the middle and on the right of the picture?",
    "Describe the picture in detail, and say where every object is.",
    "Which objects are in this image, and what colour are they?",
)
_CLAIMS = (5, 6, 7)
"""Claims of an answer; 40 to 80 tokens with the benches' tokenizer."""


def preference_rows(pairs: int, seed: int) -> list[PreferenceRow]:
    """`pairs` rows in the order of their prompts; the last prompt may have fewer pairs than the others.

    Every prompt has another picture, and no two answers are alike.
    """
    rows = []
    for number in range(pairs):
        prompt = number // PAIRS_PER_PROMPT
        about = random.Random(f"{seed}/prompt/{prompt}")
        rng = random.Random(f"{seed}/pair/{number}")
        chosen, rejected = (answer_text(rng, rng.choice(_CLAIMS)) for _ in range(2))
        rows.append(
            PreferenceRow(
                ds_name="bench",
                image=picture(seed * 10_007 + prompt),
                question=about.choice(_QUESTIONS),
                chosen=chosen,
                rejected=rejected,
                idx=str(number),
                image_path=f"{prompt}.png",
                prompt_id=f"prompt-{prompt}",
                pair_id=f"pair-{number}",
            )
        )
    return rows


def write_pairs(path: Path, pairs: int, seed: int) -> Path:
    """The rows as the Parquet file that every side reads; returns its path."""
    write_preferences(path, preference_rows(pairs, seed))
    return path
