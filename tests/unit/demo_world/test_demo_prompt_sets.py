"""The prompt files hold what the loop and evaluation read."""

from __future__ import annotations

import io
import json

from PIL import Image

from demo.world.captions import PROMPTS
from demo.world.datasets import prompt_table
from demo.world.scenes import Split
from rlaifv.core.scene import Scene, judge


def test_only_evaluation_carries_truth() -> None:
    assert prompt_table(Split.PROMPTS, 0, 3, with_truth=False).column_names == ["prompt_id", "image", "prompt"]
    rows = prompt_table(Split.EVALUATION, 0, 4, with_truth=True).to_pylist()
    for row in rows:
        truth = Scene.from_dict(json.loads(row["truth"]))
        assert truth.objects
        assert truth.questions
        assert all(judge(question, truth) is answer for question, answer in truth.questions)
        assert row["prompt"] in PROMPTS
        assert Image.open(io.BytesIO(row["image"])).size == (192, 192)


def test_seeds_and_splits_share_no_picture() -> None:
    tables = [
        prompt_table(split, seed, 8, with_truth=False)
        for split in (Split.PROMPTS, Split.VALIDATION, Split.EVALUATION)
        for seed in (0, 1)
    ]
    images = [row for table in tables for row in table["image"].to_pylist()]
    ids = [row for table in tables for row in table["prompt_id"].to_pylist()]
    assert len(set(images)) == len(images)
    assert len(set(ids)) == len(ids)
