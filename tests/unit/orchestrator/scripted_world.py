"""A small world for the loop: pictures of one colour, prompts about them, scenes that know what is in them, shipped fakes."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image as PilImage
from prometheus_client import CollectorRegistry

from rlaifv.adapters.fake.decomposer import divide
from rlaifv.adapters.fake.folders import BUILT_IN, read_checkpoint
from rlaifv.adapters.fake.labeler import FakeLabeler
from rlaifv.adapters.fake.policy import FakePolicy
from rlaifv.adapters.fake.trainer import FakeTrainer
from rlaifv.adapters.runs.folder import FolderArtifacts
from rlaifv.adapters.runs.ledger import Ledger
from rlaifv.adapters.runs.reading import dump_run_file, parse_run_file
from rlaifv.adapters.runs.run_file import RunFile
from rlaifv.adapters.runs.scene_truth import SceneTruth
from rlaifv.core.candidates import Candidate, FinishReason
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.decomposition import Decomposition
from rlaifv.core.outcomes import Outcome
from rlaifv.core.verdicts import Verdict
from rlaifv.ports.services import Answer, Generation, Questions
from services.orchestrator.context import Ports, RunContext, RunPrompts
from services.orchestrator.metrics import RunMetrics

THINGS = ("car", "dog", "cup", "tree", "bus", "cat", "boat", "lamp")
COLOURS = ("red", "blue", "green", "yellow")


class SentenceDecomposer:
    """The shipped fake's function as a port."""

    async def decompose(self, answers: Sequence[Answer]) -> AsyncIterator[Outcome[Decomposition]]:
        for answer in answers:
            yield Outcome(item_id=answer.id, value=divide(answer.text))


class ScriptedPolicy:
    """Says what is written here: four answers to a training prompt, one greedy answer, one word to a yes/no question.

    Fake checkpoints name its versions; `generated` counts answers by version.
    """

    ANSWERS = (
        "There is a red car.",
        "There is a red car. There is a boat.",
        "There is a boat. There is a lamp.",
        "There is a red car.",
    )

    def __init__(self) -> None:
        self.checkpoint = read_checkpoint(Checkpoint(uri=BUILT_IN, digest=""))
        self.generated: Counter[str] = Counter()
        self.loads: list[str] = []

    async def generate(self, items: Sequence[Generation]) -> AsyncIterator[Outcome[tuple[Candidate, ...]]]:
        for item in items:
            version = self.checkpoint.digest
            self.generated[version] += len(item.seeds)
            answers = self.answers(item)
            candidates = tuple(
                Candidate(
                    prompt_id=item.prompt.id,
                    index=index,
                    seed=seed,
                    text=answers[index % len(answers)],
                    finish_reason=FinishReason.STOP,
                    policy_version=version,
                )
                for index, seed in enumerate(item.seeds)
            )
            yield Outcome(item_id=item.prompt.id, value=candidates)

    def answers(self, item: Generation) -> Sequence[str]:
        """A trained policy has learnt to leave the boat out."""
        if item.prompt.text.endswith("Answer with yes or no."):
            return ["Yes." if "car" in item.prompt.text else "no"]
        if item.sampling.temperature > 0:
            return self.ANSWERS
        return [self.ANSWERS[1 if self.checkpoint.uri.startswith(BUILT_IN) else 0]]

    async def load(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = read_checkpoint(checkpoint)
        self.loads.append(checkpoint.uri)

    async def version(self) -> str:
        return self.checkpoint.digest


class CarLabeler:
    """Says yes to cars and no to everything else."""

    def __init__(self) -> None:
        self.asked: list[Questions] = []

    async def ask(self, items: Sequence[Questions]) -> AsyncIterator[Outcome[tuple[Verdict, ...]]]:
        for item in items:
            self.asked.append(item)
            verdicts = tuple(
                Verdict(
                    question=question,
                    p_yes=0.8 if "car" in question else 0.1,
                    p_no=0.1 if "car" in question else 0.8,
                    labeler_version="cars/1",
                )
                for question in item.questions
            )
            yield Outcome(item_id=item.id, value=verdicts)


def scripted(ports: Ports) -> Ports:
    """The ports with the scripted policy and labeler, and a trainer whose every step is seen."""
    return replace(ports, policy=ScriptedPolicy(), labeler=CarLabeler(), trainer=FakeTrainer(step_s=0.01))


def picture(number: int) -> bytes:
    """A PNG of its own for every number."""
    sink = io.BytesIO()
    PilImage.new("RGB", (8, 8), (number % 256, number // 256 % 256, 7)).save(sink, "PNG")
    return sink.getvalue()


def scene(number: int) -> dict[str, Any]:
    """A red car and one more thing."""
    thing = THINGS[1 + number % (len(THINGS) - 1)]
    return {
        "objects": [
            {"kind": "car", "colour": "red", "count": 1, "positions": []},
            {"kind": thing, "colour": "blue", "count": 1, "positions": []},
        ],
        "lexicon": {
            "kinds": {word: word for word in THINGS},
            "colours": {word: word for word in COLOURS},
            "positions": {},
        },
        "questions": [["Is there a car?", True], [f"Is there a {thing}?", True]],
    }


def write_prompts(path: Path, first: int, count: int, *, truth: bool = False) -> None:
    """`count` prompts with ids and pictures numbered from `first`."""
    numbers = range(first, first + count)
    columns: dict[str, Any] = {
        "prompt_id": [f"p{number:04d}" for number in numbers],
        "image": [{"bytes": picture(number), "path": None} for number in numbers],
        "prompt": [f"Describe the picture, number {number}." for number in numbers],
    }
    if truth:
        columns["truth"] = [json.dumps(scene(number)) for number in numbers]
    pq.write_table(pa.table(columns), path, row_group_size=16)


def write_world(folder: Path, *, train: int = 24, validation: int = 6, evaluation: int = 8) -> None:
    """The three prompt sets as train.parquet, validation.parquet and evaluation.parquet."""
    write_prompts(folder / "train.parquet", 0, train)
    write_prompts(folder / "validation.parquet", 1000, validation)
    write_prompts(folder / "evaluation.parquet", 2000, evaluation, truth=True)


def run_yaml(**changes: Any) -> str:
    """A run of two iterations over the world; `changes` replace or add top-level fields."""
    fields: dict[str, Any] = {
        "name": "tiny",
        "seed": 7,
        "policy": "fake:start",
        "prompts": {
            "train": "train.parquet",
            "validation": "validation.parquet",
            "evaluation": "evaluation.parquet",
        },
        "iterations": 2,
        "prompts_per_iteration": 12,
        "candidates": 4,
        "shard_prompts": 4,
        "promotion": {"min_words_ratio": 0.0},
    }
    return json.dumps(fields | changes)


def open_context(
    folder: Path,
    *,
    runs: str = "runs",
    change: Callable[[Ports], Ports] = lambda ports: ports,
    artifacts: Callable[[Path], Any] = FolderArtifacts,
    **changes: Any,
) -> RunContext:
    """A context over the shipped fakes, its ledger and folder in `folder / runs`."""
    run: RunFile = parse_run_file(run_yaml(**changes), folder)
    ledger = Ledger(f"sqlite:///{folder / runs / 'ledger.sqlite'}")
    if run.name not in {record.name for record in ledger.runs()}:
        ledger.create_run(run.name, dump_run_file(run), run.digest)
    ports = Ports(policy=FakePolicy(), decomposer=SentenceDecomposer(), labeler=FakeLabeler(), trainer=FakeTrainer())
    return RunContext(
        run=run,
        attempt=1,
        ports=change(ports),
        prompts=RunPrompts.read(run),
        ledger=ledger,
        artifacts=artifacts(folder / runs / run.name),
        truth=SceneTruth,
        metrics=RunMetrics(CollectorRegistry()),
        began_at=ledger.run(run.name).began_at,
        patience_s=5.0,
    )
