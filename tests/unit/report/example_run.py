"""Writes a run folder as the orchestrator does, with plausible made-up content: what the report's tests read.

python -m tests.unit.report.example_run FOLDER    # two runs to look at
"""

from __future__ import annotations

import io
import json
import random
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

from rlaifv.core.evaluation import EvaluatedAnswer, evaluate

KINDS = ("car", "dog", "cup", "hat", "boat", "star", "tree", "key")
COLOURS = {"red": "#d33", "blue": "#36c", "green": "#292", "yellow": "#dc2", "purple": "#84a"}
PLACES = ("left", "middle", "right")

_CLAIM = pa.struct(
    [
        ("text", pa.string()), ("type", pa.string()), ("question", pa.string()), ("start", pa.int32()), ("end", pa.int32()),
        ("p_yes", pa.float64()), ("p_no", pa.float64()), ("mass", pa.float64()), ("accepted", pa.bool_()), ("truth", pa.bool_()),
    ]
)  # fmt: skip
_QUESTION = pa.struct(
    [("question", pa.string()), ("expected", pa.bool_()), ("answer", pa.string()), ("right", pa.bool_())]
)
SCHEMA = pa.schema(
    [
        ("prompt_id", pa.string()), ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("prompt", pa.string()), ("answer", pa.string()), ("policy_version", pa.string()), ("truth", pa.string()),
        ("coverage", pa.float64()), ("words", pa.int32()), ("hallucinated", pa.bool_()),
        ("claims", pa.list_(_CLAIM)), ("questions", pa.list_(_QUESTION)),
    ]
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Example:
    """How the made-up run went: `errors` is the chance that a stated property is wrong, for each round from the start on."""

    name: str = "example"
    labeler: str = "stronger"
    seed: int = 7
    answers: int = 60
    errors: tuple[float, ...] = (0.16, 0.12, 0.09, 0.08, 0.06)
    promoted: tuple[bool, ...] = (True, True, True, False, True)
    labeler_skill: float = 2.2
    phase: str = "done"
    training: bool = True


def write_example(home: Path, example: Example = Example()) -> Path:
    """The folder of the run, made under `home`."""
    folder = home / example.name
    chance = random.Random(example.seed)
    scenes = [_scene(chance) for _ in range(example.answers)]
    pictures = [_picture(scene) for scene in scenes]
    rounds = []
    for index, error in enumerate(example.errors):
        rows = [_row(n, scene, error, index, example, chance) for n, scene in enumerate(scenes)]
        for row, picture in zip(rows, pictures, strict=True):
            row["image"] = {"bytes": picture, "path": f"{row['prompt_id']}.png"}
        write_evaluation(folder, index, rows)
        if index and example.training:
            _write_lines(folder / "iterations" / str(index) / "training.jsonl", _training(chance))
        rounds.append(_round(index, rows, example, chance))
    timeline = list(_timeline(len(example.errors), chance))
    _write_lines(folder / "timeline.jsonl", timeline)
    summary = {
        "name": example.name, "seed": example.seed, "labeler": example.labeler, "phase": example.phase,
        "wall_s": timeline[-1]["end_s"], "rounds": rounds,
    }  # fmt: skip
    (folder / "summary.json").write_text(json.dumps(summary, indent=2), encoding="utf-8")
    (folder / "run.yaml").write_text(f"name: {example.name}\nseed: {example.seed}\niterations: 4\n", encoding="utf-8")
    return folder


def write_evaluation(folder: Path, index: int, rows: list[dict[str, Any]]) -> None:
    """iterations/<index>/evaluation.parquet from rows with all of SCHEMA's columns."""
    home = folder / "iterations" / str(index)
    home.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), home / "evaluation.parquet")


def _scene(chance: random.Random) -> list[dict[str, Any]]:
    kinds = chance.sample(KINDS, chance.randint(2, 3))
    places = chance.sample(PLACES, len(kinds))
    return [
        {"kind": kind, "colour": chance.choice(list(COLOURS)), "count": 1, "positions": [place]}
        for kind, place in zip(kinds, places, strict=True)
    ]


def _picture(scene: list[dict[str, Any]]) -> bytes:
    image = Image.new("RGB", (128, 128), "#eef0ea")
    draw = ImageDraw.Draw(image)
    for thing in scene:
        x = 8 + 42 * PLACES.index(thing["positions"][0])
        shape = draw.ellipse if len(thing["kind"]) % 2 else draw.rectangle
        shape((x, 46, x + 30, 80), fill=COLOURS[thing["colour"]])
        draw.text((x, 84), thing["kind"], fill="#333")
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def _row(n: int, scene: Any, error: float, index: int, example: Example, chance: random.Random) -> dict[str, Any]:
    parts, claims, cursor = [], [], 0
    for number, thing in enumerate(scene):
        kind = chance.choice(KINDS) if chance.random() < error else thing["kind"]
        colour = chance.choice(list(COLOURS)) if chance.random() < error else thing["colour"]
        present = any(thing["kind"] == kind for thing in scene)
        really = present and any(t["kind"] == kind and t["colour"] == colour for t in scene)
        lead = "There is a " if number == 0 else " and a "
        at = cursor + len(lead)
        parts.append(f"{lead}{colour} {kind}")
        cursor += len(parts[-1])
        claims.append(_claim(f"There is a {kind}.", "object", at + len(colour) + 1, cursor, present, example, chance))
        claims.append(_claim(f"The {kind} is {colour}.", "attribute", at, at + len(colour), really, example, chance))
    parts.append(".")
    answer = "".join(parts)
    named = {claim["text"] for claim in claims}
    return {
        "prompt_id": f"held-out-{n:04d}",
        "prompt": "Describe the picture.",
        "answer": answer,
        "policy_version": f"{index:064x}",
        "truth": json.dumps({"objects": scene}),
        "coverage": sum(f"There is a {t['kind']}." in named for t in scene) / len(scene),
        "words": len(answer.split()),
        "hallucinated": any(claim["truth"] is False for claim in claims),
        "claims": claims,
        "questions": [
            {"question": "Is there a car?", "expected": True, "answer": "yes", "right": chance.random() > error}
        ],
    }


def _claim(text: str, kind: str, start: int, end: int, truth: bool, example: Example, chance: random.Random) -> Any:
    leaning = chance.gauss(example.labeler_skill if truth else -example.labeler_skill, 1.5)
    p_yes = 0.97 / (1 + 2.718281828**-leaning)
    return {
        "text": text, "type": kind, "question": f"Is it so that {text}?", "start": start, "end": end, "p_yes": p_yes,
        "p_no": 0.97 - p_yes, "mass": 0.97, "accepted": p_yes > 0.97 - p_yes, "truth": truth,
    }  # fmt: skip


def _round(index: int, rows: list[dict[str, Any]], example: Example, chance: random.Random) -> dict[str, Any]:
    answers = [
        EvaluatedAnswer(
            prompt_id=row["prompt_id"],
            text=row["answer"],
            truths=tuple(claim["truth"] for claim in row["claims"]),
            coverage=row["coverage"],
            questions=tuple(question["right"] for question in row["questions"]),
        )
        for row in rows
    ]
    entry: dict[str, Any] = {
        "index": index, "promoted": example.promoted[index], "pairs": 0, "dropped": {},
        "policy_version": f"{index:064x}", "eval": asdict(evaluate(answers, example.seed)),
        "stage_seconds": {"evaluate": 30.0 + chance.random()},
    }  # fmt: skip
    if index:
        entry["mean_chosen_words"], entry["mean_rejected_words"] = 11.2, 11.4
        entry["training"] = {"first_loss": 0.693, "last_loss": 0.42, "reward_margin": 1.1, "accuracy": 0.93}
        entry["validation"] = {
            "before": {"mean_score": -0.9, "mean_words": 11.1, "answers": 40},
            "after": {"mean_score": -0.7, "mean_words": 11.2, "answers": 40},
        }
        entry["pairs"] = chance.randint(180, 320)
        entry["dropped"] = {
            "no_pair": chance.randint(20, 60), "duplicate_answer": chance.randint(100, 300), "pair_cap": 410,
            "length_balance": chance.randint(10, 40), "no_claims": 3,
        }  # fmt: skip
        entry["stage_seconds"] |= {"generate": 40.0, "decompose": 6.0, "score": 62.0, "pair": 0.4, "load": 1.1}
        entry["stage_seconds"] |= {"train": 55.0, "validate": 12.0}
    return entry


def _training(chance: random.Random) -> list[dict[str, Any]]:
    return [
        {
            "step": step, "total_steps": 60, "loss": 0.693 * (1 - 0.4 * step / 60) + chance.gauss(0, 0.03),
            "reward_margin": 0.02 * step + chance.gauss(0, 0.1), "accuracy": min(1.0, 0.5 + step / 130 + chance.gauss(0, 0.1)),
            "chosen_logprob": -18.0, "rejected_logprob": -21.0, "grad_norm": 1.0, "learning_rate": 1e-5, "pairs_per_s": 9.0,
        }
        for step in range(1, 61)
    ]  # fmt: skip


def _timeline(rounds: int, chance: random.Random) -> Any:
    clock = 0.0
    yield {"iteration": 0, "stage": "evaluate", "shard": None, "start_s": 0.0, "end_s": (clock := 30.0)}
    for index in range(1, rounds):
        begun = clock
        for shard in range(8):
            start = begun + shard * 8
            for stage, length in (("generate", 7), ("decompose", 1), ("score", 10)):
                end = start + length + chance.random()
                yield {"iteration": index, "stage": stage, "shard": shard, "start_s": start, "end_s": end}
                start = end
        clock = start
        for stage, length in (("pair", 1), ("train", 55), ("validate", 12), ("load", 1), ("evaluate", 30)):
            yield {"iteration": index, "stage": stage, "shard": None, "start_s": clock, "end_s": clock + length}
            clock += length


def _write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    target = Path(sys.argv[1])
    write_example(target, Example(name="stronger", answers=300))
    weaker = Example(name="self", labeler="self", answers=300, errors=(0.16, 0.14, 0.13, 0.12, 0.11), labeler_skill=0.8)
    write_example(target, weaker)
