"""The whole loop in one process, against numbers computed by hand for the scripted world."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from rlaifv.adapters.fake.trainer import FakeTrainer
from rlaifv.adapters.preferences import read_preferences
from rlaifv.adapters.runs.lineage import trace_pair
from rlaifv.core.candidates import Candidate, FinishReason
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.errors import BackendFailed, Conflict, InvalidInput, NotFound
from rlaifv.core.outcomes import Outcome
from rlaifv.core.seeds import candidate_seed
from rlaifv.core.training import TrainingJob
from rlaifv.core.verdicts import Verdict
from rlaifv.ports.services import Generation, Questions
from services.orchestrator.asking import PolicyKeeper
from services.orchestrator.context import Ports, RunContext
from services.orchestrator.loop import InProcess, run_loop
from tests.unit.orchestrator.scripted_world import CarLabeler, ScriptedPolicy, open_context, scripted, write_world

UNBALANCED = {"pair_rule": {"length_balance": False}}


async def finish(context: RunContext) -> dict[str, Any]:
    """Run to the end; the summary."""
    try:
        await run_loop(context, InProcess())
        return summary_of(context)
    finally:
        context.ledger.close()


def summary_of(context: RunContext) -> dict[str, Any]:
    return dict(json.loads(context.artifacts.read("summary.json")))


@pytest.fixture
def world(tmp_path: Path) -> Path:
    write_world(tmp_path)
    return tmp_path


async def test_the_summary_holds_what_the_scripted_world_makes_of_it(world: Path) -> None:
    """12 prompts an iteration, each with scores 0, -1, -2 and a duplicate: 3 pairs, of which 2 are kept."""
    context = open_context(world, change=scripted, **UNBALANCED)
    summary = await finish(context)
    start, first, second = summary["rounds"]
    assert [item["promoted"] for item in summary["rounds"]] == [True, True, False]
    for item in (first, second):
        assert (item["prompts"], item["candidates"], item["claims"], item["pairs"]) == (12, 48, 72, 24)
        assert item["dropped"] == {"duplicate_answer": 12, "pair_cap": 12}
    # The start names a boat that is in 2 of 8 pictures; every picture holds a car and one more kind.
    assert start["eval"]["n"] == 8
    assert start["eval"]["response_hallucination"] == 6 / 8
    assert start["eval"]["mention_hallucination"] == 6 / 16
    assert start["eval"]["coverage"] == (2 * 1.0 + 6 * 0.5) / 8
    assert start["eval"]["mean_words"] == 9
    assert start["eval"]["yes_no_accuracy"] == 0.5
    assert first["validation"] == {
        "before": {"mean_score": -1.0, "mean_words": 9.0, "answers": 6},
        "after": {"mean_score": 0.0, "mean_words": 5.0, "answers": 6},
    }
    assert first["eval"]["response_hallucination"] == 0.0
    assert first["eval"]["coverage"] == 0.5
    assert first["eval"]["mean_words"] == 5
    assert first["training"] == {
        "first_loss": pytest.approx(math.log(2)),
        "last_loss": pytest.approx(math.log(2) / 4),
        "reward_margin": pytest.approx(0.3),
        "accuracy": pytest.approx(1 - 0.5 / 4),
        "pairs_per_s": 10.0,
    }
    # The second checkpoint is no better, so the first stays and is not evaluated twice.
    assert second["validation"]["before"] == second["validation"]["after"]
    assert second["policy_version"] == first["policy_version"] == first["trained_version"] != second["trained_version"]
    assert second["eval"] == first["eval"]
    assert second["eval_same_as_round"] == 1
    assert (summary["labeler_version"], summary["decomposer_version"]) == ("cars/1", "fake-sentences/1")
    assert (summary["seed"], summary["labeler"], summary["name"]) == (7, "self", "tiny")


async def test_prompts_are_new_and_answers_come_from_the_iterations_start(world: Path) -> None:
    context = open_context(world, change=scripted, **UNBALANCED)
    summary = await finish(context)
    versions = [item["policy_version"] for item in summary["rounds"]]
    seen: list[str] = []
    for iteration in (1, 2):
        rows = [
            row
            for shard in range(3)
            for row in pq.read_table(
                context.artifacts.uri(f"iterations/{iteration}/shards/{shard}.parquet")
            ).to_pylist()
        ]
        assert {row["policy_version"] for row in rows} == {versions[iteration - 1]}
        assert all(row["seed"] == candidate_seed(7, row["prompt_id"], iteration, row["index"]) for row in rows)
        seen += sorted({row["prompt_id"] for row in rows})
    assert len(seen) == len(set(seen)) == 24


async def test_a_question_is_asked_once_a_prompt(world: Path) -> None:
    labeler = CarLabeler()
    context = open_context(
        world, change=lambda ports: replace(scripted(ports), labeler=labeler), iterations=1, **UNBALANCED
    )
    await finish(context)
    collected = [item for item in labeler.asked if item.id < "p0100"]
    assert len(collected) == 12
    assert all(len(item.questions) == len(set(item.questions)) == 3 for item in collected)


async def test_evaluation_file_gives_the_figures_again(world: Path) -> None:
    context = open_context(world, change=scripted, **UNBALANCED)
    summary = await finish(context)
    table = pq.read_table(context.artifacts.uri("iterations/0/evaluation.parquet"))
    rows = table.to_pylist()
    assert table.schema.names == [
        "prompt_id",
        "image",
        "prompt",
        "answer",
        "policy_version",
        "truth",
        "coverage",
        "words",
        "hallucinated",
        "claims",
        "questions",
    ]
    assert (
        sum(row["hallucinated"] for row in rows) / len(rows) == summary["rounds"][0]["eval"]["response_hallucination"]
    )
    claim = rows[1]["claims"][1]
    assert rows[1]["answer"][claim["start"] : claim["end"]] == claim["text"] == "There is a boat."
    assert (claim["truth"], claim["accepted"]) == (False, False)
    assert [question["right"] for question in rows[1]["questions"]] == [True, False]


async def test_a_pair_is_traced_to_its_origin(world: Path) -> None:
    context = open_context(world, change=scripted, iterations=1, **UNBALANCED)
    await run_loop(context, InProcess())
    row = next(read_preferences(Path(context.artifacts.uri("iterations/1/pairs.parquet"))))
    lineage = trace_pair(context.ledger, context.artifacts, context.run, row.pair_id)
    assert lineage["image_sha256"] == row.image_sha256
    assert (lineage["prompt_id"], lineage["prompt"], lineage["iteration"]) == (row.prompt_id, row.question, 1)
    assert lineage["chosen"]["answer"] == row.chosen
    assert lineage["chosen"]["seed"] == row.chosen_seed
    assert lineage["rejected"]["score"] == row.rejected_score
    assert lineage["rejected"]["claims"][0]["labeler_version"] == "cars/1"
    assert lineage["sampling"] == {"temperature": 0.7, "top_p": 1.0, "max_new_tokens": 512}
    with pytest.raises(NotFound, match="feed"):
        trace_pair(context.ledger, context.artifacts, context.run, "feed")
    context.ledger.close()


async def test_the_timeline_has_every_stage(world: Path) -> None:
    context = open_context(world, change=scripted, **UNBALANCED)
    await finish(context)
    lines = [json.loads(line) for line in context.artifacts.read("timeline.jsonl").splitlines()]
    assert {(line["stage"], line["shard"]) for line in lines if line["iteration"] == 1} == {
        *((stage, shard) for stage in ("generate", "decompose", "score") for shard in range(3)),
        *((stage, None) for stage in ("pair", "train", "validate", "load", "evaluate")),
    }
    assert all(0 <= line["start_s"] <= line["end_s"] for line in lines)
    steps = [json.loads(line) for line in context.artifacts.read("iterations/1/training.jsonl").splitlines()]
    assert [step["step"] for step in steps] == [1, 2, 3, 4]


class Faulty(ScriptedPolicy):
    """Refuses one prompt, and gives the others an empty, a truncated, a claimless and a good answer."""

    ANSWERS = ("  ", "There is a red", "123.", "There is a red car.")

    async def generate(self, items: Sequence[Generation]) -> AsyncIterator[Outcome[tuple[Candidate, ...]]]:
        async for outcome in super().generate(items):
            if outcome.item_id == "p0003":
                yield Outcome(item_id=outcome.item_id, error=InvalidInput("image: not a picture"))
            else:
                candidates = outcome.unwrap()
                cut = tuple(
                    replace(c, finish_reason=FinishReason.LENGTH) if c.text == self.ANSWERS[1] else c
                    for c in candidates
                )
                yield Outcome(item_id=outcome.item_id, value=cut)


class Undecided(CarLabeler):
    """Fails on one prompt and says neither yes nor no on all others."""

    async def ask(self, items: Sequence[Questions]) -> AsyncIterator[Outcome[tuple[Verdict, ...]]]:
        async for outcome in super().ask(items):
            if outcome.item_id == "p0004":
                yield Outcome(item_id=outcome.item_id, error=InvalidInput("image: too large"))
            else:
                yield Outcome(
                    item_id=outcome.item_id,
                    value=tuple(replace(v, p_yes=0.01, p_no=0.01) for v in outcome.unwrap()),
                )


async def test_everything_left_out_is_counted_by_reason(world: Path) -> None:
    def change(ports: Ports) -> Ports:
        return replace(scripted(ports), policy=Faulty(), labeler=Undecided())

    write_world(world, train=12)
    context = open_context(world, change=change, iterations=1, verdict_rule={"min_mass": 0.5})
    summary = await finish(context)
    round_ = summary["rounds"][1]
    assert round_["dropped"] == {
        "bad_prompt": 1,
        "empty_answer": 11,
        "labeler_failed": 1,
        "no_claims": 11,
        "no_pair": 12,
        "truncated_answer": 11,
        "undecided": 10,
    }
    assert (round_["pairs"], round_["promoted"], round_["validation"], round_["training"]) == (0, False, None, None)
    assert round_["eval_same_as_round"] == 0


class Broken(CarLabeler):
    """Fails on every picture."""

    async def ask(self, items: Sequence[Questions]) -> AsyncIterator[Outcome[tuple[Verdict, ...]]]:
        for item in items:
            yield Outcome(item_id=item.id, error=BackendFailed("out of memory"))


async def test_a_service_that_fails_on_everything_ends_the_run(world: Path) -> None:
    prompts = {"train": "train.parquet", "validation": "validation.parquet"}
    context = open_context(world, change=lambda ports: replace(scripted(ports), labeler=Broken()), prompts=prompts)
    with pytest.raises(
        BackendFailed, match="all 4 prompts of a shard failed; the first: labeler_failed: out of memory"
    ):
        await finish(context)


class Changing(CarLabeler):
    """Changes its version after the first picture."""

    async def ask(self, items: Sequence[Questions]) -> AsyncIterator[Outcome[tuple[Verdict, ...]]]:
        async for outcome in super().ask(items):
            version = f"cars/{min(2, len(self.asked))}"
            verdicts = tuple(replace(verdict, labeler_version=version) for verdict in outcome.unwrap())
            yield Outcome(item_id=outcome.item_id, value=verdicts)


async def test_a_labeler_that_changes_in_the_middle_is_an_error(world: Path) -> None:
    context = open_context(world, change=lambda ports: replace(scripted(ports), labeler=Changing()))
    with pytest.raises(Conflict, match=r"the labeler changed .* from cars/\d to cars/\d"):
        await finish(context)


async def test_without_an_evaluation_set_the_loop_runs_too(world: Path) -> None:
    prompts = {"train": "train.parquet", "validation": "validation.parquet"}
    context = open_context(world, change=scripted, prompts=prompts, **UNBALANCED)
    summary = await finish(context)
    assert [item["eval"] for item in summary["rounds"]] == [None, None, None]
    assert [item["promoted"] for item in summary["rounds"]] == [True, True, False]


class Watched(InProcess):
    """Notes what was at work beside each training."""

    def __init__(self) -> None:
        self.beside: list[int] = []

    @asynccontextmanager
    async def shards_beside(
        self, context: RunContext, iteration: int, start: Checkpoint, shards: Sequence[int]
    ) -> AsyncIterator[None]:
        self.beside.append(iteration)
        async with super().shards_beside(context, iteration, start, shards):
            yield


async def test_with_staleness_a_round_is_answered_by_the_start_of_the_one_before(world: Path) -> None:
    context = open_context(world, change=scripted, iterations=3, prompts_per_iteration=8, max_staleness=1, **UNBALANCED)
    durable = Watched()
    await run_loop(context, durable)
    summary = summary_of(context)
    versions = [item["policy_version"] for item in summary["rounds"]]
    assert versions[0] != versions[1], "round 1 is promoted"
    assert durable.beside == [1, 2, 3], "beside the start's evaluation and the trainings; the last has no next"
    answering = []
    for iteration in (1, 2, 3):
        names = [f"iterations/{iteration}/shards/{shard}.parquet" for shard in range(2)]
        tables = [pq.read_table(context.artifacts.uri(name)) for name in names]
        (version,) = {row for table in tables for row in table["policy_version"].to_pylist()}
        answering.append(version)
    assert answering == [versions[0], versions[0], versions[1]]
    context.ledger.close()


async def test_a_round_is_collected_while_the_weights_that_answer_are_evaluated(world: Path) -> None:
    """Evaluation waits here until the next round is answered: it would wait for ever if they took turns."""
    context = open_context(world, change=scripted, **UNBALANCED)
    durable = Watched()
    answered: set[str] = set()
    collected = asyncio.Event()

    class Waiting(ScriptedPolicy):
        async def generate(self, items: Sequence[Generation]) -> AsyncIterator[Outcome[tuple[Candidate, ...]]]:
            if items[0].prompt.id >= "p2000":
                await collected.wait()
            async for outcome in super().generate(items):
                yield outcome
            answered.update(item.prompt.id for item in items if item.prompt.id < "p0100")
            if len(answered) == 12:
                collected.set()

    context.ports = replace(context.ports, policy=Waiting())
    context.keeper = PolicyKeeper(context.ports.policy, 5.0)
    await asyncio.wait_for(run_loop(context, durable), 60)
    assert durable.beside == [1, 2]
    context.ledger.close()


async def test_staleness_trains_from_the_promoted_policy(world: Path) -> None:
    jobs: list[TrainingJob] = []

    class Noting(FakeTrainer):
        async def start(self, job: TrainingJob) -> None:
            jobs.append(job)
            await super().start(job)

    context = open_context(
        world, change=lambda ports: replace(scripted(ports), trainer=Noting()), max_staleness=1, **UNBALANCED
    )
    summary = await finish(context)
    assert [job.policy.digest for job in jobs] == [item["policy_version"] for item in summary["rounds"][:2]]


async def test_a_failed_training_ends_what_is_collected_beside_it(world: Path) -> None:
    class Failing(FakeTrainer):
        async def start(self, job: TrainingJob) -> None:
            raise InvalidInput("pairs_uri is not there")

    context = open_context(
        world, change=lambda ports: replace(scripted(ports), trainer=Failing()), max_staleness=1, **UNBALANCED
    )
    with pytest.raises(InvalidInput, match="pairs_uri"):
        await finish(context)
    assert asyncio.all_tasks() == {asyncio.current_task()}
