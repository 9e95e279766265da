"""Preference pairs to measure training with: two pairs a prompt, each prompt about a picture of its own."""

from __future__ import annotations

import random
from itertools import combinations
from pathlib import Path

from bench.scenes import answer_text, picture
from rlaifv.adapters.preferences import PreferenceRow, write_preferences

CANDIDATES = 10
PAIRS_PER_PROMPT = 2
"""The paper's: at most two of the pairs that ten answers to a prompt make."""

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

    Every prompt has another picture. Its pairs are drawn from all pairs of its candidates, as they are in the loop, so that some
    have an answer in common; no two are the same.
    """
    rows: list[PreferenceRow] = []
    while len(rows) < pairs:
        rows += _of_prompt(len(rows) // PAIRS_PER_PROMPT, len(rows), seed)
    return rows[:pairs]


def write_pairs(path: Path, pairs: int, seed: int) -> Path:
    """The rows as the Parquet file that every side reads; returns its path."""
    write_preferences(path, preference_rows(pairs, seed))
    return path


def _of_prompt(prompt: int, first: int, seed: int) -> list[PreferenceRow]:
    rng = random.Random(f"{seed}/{prompt}")
    question = rng.choice(_QUESTIONS)
    # The better candidate of a pair is the one that was made first.
    candidates = [answer_text(rng, rng.choice(_CLAIMS)) for _ in range(CANDIDATES)]
    drawn = rng.sample(list(combinations(candidates, 2)), PAIRS_PER_PROMPT)
    return [
        PreferenceRow(
            ds_name="bench",
            image=picture(seed * 10_007 + prompt),
            question=question,
            chosen=chosen,
            rejected=rejected,
            idx=str(number),
            image_path=f"{prompt}.png",
            prompt_id=f"prompt-{prompt}",
            pair_id=f"pair-{number}",
        )
        for number, (chosen, rejected) in enumerate(drawn, start=first)
    ]
