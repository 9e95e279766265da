"""The demo's prompt sets as Parquet files: what the loop learns on, is watched on, and is finally measured on.

    python -m demo.world.datasets runs/demo/prompts --seed 7

`train.parquet`, `validation.parquet`: prompt_id, image (JPEG bytes), prompt. `evaluation.parquet` has one more column,
truth: JSON of `rlaifv.core.scene.Scene`. No scene occurs twice, within a file or across files, for any one seed.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import pyarrow.parquet as pq
import typer
from rich.console import Console

from demo.world.captions import PROMPTS
from demo.world.pictures import jpeg
from demo.world.questions import ask
from demo.world.scenes import Split, WorldScene, sample_scene

_SEEDS_PER_RUN = 100_000
_QUESTION_ROUNDS = 1


def write_prompt_sets(
    out: Annotated[Path, typer.Argument(help="Folder to write to; made if it is missing.")],
    seed: Annotated[int, typer.Option(min=0, max=9_999, help="Other seeds give other scenes.")] = 0,
    train: Annotated[int, typer.Option(min=1, max=_SEEDS_PER_RUN, help="Training prompts, all rounds together.")] = 720,
    validation: Annotated[int, typer.Option(min=1, max=_SEEDS_PER_RUN)] = 120,
    evaluation: Annotated[int, typer.Option(min=1, max=_SEEDS_PER_RUN)] = 500,
) -> None:
    """Write the three prompt sets of the demo."""
    out.mkdir(parents=True, exist_ok=True)
    console = Console()
    for name, split, size in (
        ("train", Split.PROMPTS, train),
        ("validation", Split.VALIDATION, validation),
        ("evaluation", Split.EVALUATION, evaluation),
    ):
        table = prompt_table(split, seed, size, with_truth=split is Split.EVALUATION)
        pq.write_table(table, out / f"{name}.parquet")
        console.print(f"{out / name}.parquet: {size} prompts")


def prompt_table(split: Split, seed: int, size: int, *, with_truth: bool) -> pa.Table:
    """`size` prompts about as many scenes of a split; every prompt of the world in turn."""
    scenes = [sample_scene(split.seed(seed * _SEEDS_PER_RUN + index)) for index in range(size)]
    columns = {
        "prompt_id": [f"{split.name.lower()}-{seed}-{index:05d}" for index in range(size)],
        "image": pa.array([jpeg(scene) for scene in scenes], pa.binary()),
        "prompt": [PROMPTS[index % len(PROMPTS)] for index in range(size)],
    }
    if with_truth:
        columns["truth"] = [json.dumps(truth(scene), sort_keys=True) for scene in scenes]
    return pa.table(columns)


def truth(scene: WorldScene) -> dict[str, object]:
    """The scene's annotation with one yes/no question, as often to answer yes as no, for `Scene.from_dict`."""
    rng = random.Random(f"truth {scene.seed}")
    asked = ask(scene.groups(), rng, _QUESTION_ROUNDS)
    wanted = rng.random() < 0.5
    question = rng.choice([question for question in asked if question.answer is wanted])
    return {**scene.annotation().to_dict(), "questions": [[question.text, question.answer]]}


if __name__ == "__main__":
    typer.run(write_prompt_sets)
