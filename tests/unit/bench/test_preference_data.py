"""The pairs that training is measured with are what the bench says they are."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import pytest
from transformers import AutoProcessor

from bench.checkpoints import make_checkpoint
from bench.preference_data import preference_rows, write_pairs
from rlaifv.adapters.preferences import read_preferences
from tests.unit.bench.trainer_job import SIZE


def test_two_pairs_a_prompt_and_a_picture_of_its_own_for_every_prompt() -> None:
    rows = preference_rows(9, seed=3)
    assert [row.prompt_id for row in rows] == [f"prompt-{number}" for number in (0, 0, 1, 1, 2, 2, 3, 3, 4)]
    asked = {row.prompt_id: (row.image, row.question) for row in rows}
    assert all((row.image, row.question) == asked[row.prompt_id] for row in rows)
    assert len({image for image, _ in asked.values()}) == len(asked)
    assert len({frozenset((row.chosen, row.rejected)) for row in rows}) == len(rows)


def test_as_many_pairs_of_a_prompt_have_an_answer_in_common_as_chance_has_it() -> None:
    """Two of the 45 pairs of ten candidates: 16 of the 44 others have one of the first pair's answers."""
    rows = preference_rows(600, seed=0)
    shared = sum(
        bool({a.chosen, a.rejected} & {b.chosen, b.rejected}) for a, b in zip(rows[::2], rows[1::2], strict=True)
    )
    assert shared / 300 == pytest.approx(16 / 44, abs=0.1)


def test_the_seed_decides_texts_and_pictures() -> None:
    first, again, other = preference_rows(4, 1), preference_rows(4, 1), preference_rows(4, 2)
    assert first == again
    assert not {row.image for row in first} & {row.image for row in other}
    assert not {row.chosen for row in first} & {row.chosen for row in other}


def test_the_file_holds_the_rows(tmp_path: Path) -> None:
    rows = list(read_preferences(write_pairs(tmp_path / "pairs.parquet", 3, seed=5)))
    assert [(r.image, r.question, r.chosen, r.rejected) for r in rows] == [
        (r.image, r.question, r.chosen, r.rejected) for r in preference_rows(3, seed=5)
    ]


def test_answers_have_forty_to_eighty_tokens(tmp_path: Path) -> None:
    tokenizer = AutoProcessor.from_pretrained(make_checkpoint(tmp_path, SIZE)).tokenizer
    answers = chain.from_iterable((row.chosen, row.rejected) for seed in range(3) for row in preference_rows(60, seed))
    lengths = [len(tokenizer(f" {answer}</s>").input_ids) for answer in answers]
    assert min(lengths) >= 40
    assert max(lengths) <= 80
