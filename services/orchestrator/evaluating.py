"""EVALUATING: the policy's greedy answers against exact truth, for people. Nothing here steers the loop."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rlaifv.adapters.runs import layout
from rlaifv.adapters.runs.evaluations import AskedQuestion, EvaluationRow, evaluation_to_parquet
from rlaifv.adapters.runs.prompt_sets import PromptSet
from rlaifv.adapters.runs.records import Entry
from rlaifv.core.candidates import Prompt, Sampling
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.drops import DropReason
from rlaifv.core.evaluation import evaluate
from rlaifv.core.iteration import Evaluated, Stage
from rlaifv.core.verdicts import question_prompt
from rlaifv.ports.services import Generation
from services.orchestrator.asking import at_once
from services.orchestrator.context import RunContext
from services.orchestrator.greedy import GreedyAnswer, greedy_answers

_YES_NO = Sampling(temperature=0.0, max_new_tokens=4)


async def evaluate_policy(context: RunContext, iteration: int, policy: Checkpoint) -> Entry:
    """The figures of the policy that stays after the iteration; 0 is the start. Weights seen before are not asked again."""

    async def make() -> Entry:
        event = Evaluated() if iteration else None
        prompts = context.prompts.evaluation
        if prompts is None:
            return Entry(iteration=iteration, key="evaluated", event=event, details={"policy": asdict(policy)})
        watch = context.stopwatch()
        with watch.at("evaluate"):
            details = await _known(context, iteration, policy) or await _evaluate(context, iteration, policy, prompts)
        await context.note_times(watch, iteration)
        return Entry(iteration=iteration, key="evaluated", event=event, details=details)

    needs = layout.evaluation(iteration) if context.prompts.evaluation is not None else None
    return await context.once(iteration, "evaluated", make, needs=needs)


async def _known(context: RunContext, iteration: int, policy: Checkpoint) -> dict[str, Any] | None:
    """The figures and the file of an earlier iteration that ended with the same weights."""
    for earlier in range(iteration - 1, -1, -1):
        entry = await context.find(earlier, "evaluated")
        name = layout.evaluation(earlier)
        if entry and entry.details["policy"]["digest"] == policy.digest and context.artifacts.exists(name):
            data = await asyncio.to_thread(context.artifacts.read, name)
            await asyncio.to_thread(context.artifacts.write, layout.evaluation(iteration), data)
            return entry.details | {"same_policy_as_round": entry.details.get("same_policy_as_round", earlier)}
    return None


async def _evaluate(context: RunContext, iteration: int, policy: Checkpoint, prompts: PromptSet) -> dict[str, Any]:
    ids = prompts.ids[: context.run.evaluation.answers]
    asks = context.run.evaluation.yes_no_questions
    total = len(ids) * (2 if asks else 1)

    async def report(done: int) -> None:
        await context.report(iteration, Stage.EVALUATING, done, total)

    answers = await greedy_answers(context, policy, prompts, ids, report)
    asked = await _ask_policy(context, iteration, policy, answers) if asks else {}
    rows = [row for item in answers if (row := _row(context, item, asked)) is not None]
    data = await asyncio.to_thread(evaluation_to_parquet, rows)
    await asyncio.to_thread(context.artifacts.write, layout.evaluation(iteration), data)
    chosen = context.run.evaluation.seed
    seed = context.run.seed if chosen is None else chosen
    figures = await asyncio.to_thread(evaluate, [row.evaluated() for row in rows], seed)
    return {
        "policy": asdict(policy),
        "figures": asdict(figures),
        "refused": len(answers) - len(rows),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


async def _ask_policy(
    context: RunContext, iteration: int, policy: Checkpoint, answers: Sequence[GreedyAnswer]
) -> dict[str, tuple[AskedQuestion, ...]]:
    """The truth's yes/no questions put to the policy, by prompt id."""
    done = len(answers)

    async def ask(item: GreedyAnswer) -> tuple[AskedQuestion, ...]:
        nonlocal done
        truth = context.truth(_annotation(context, item.prompt.id))
        asked = await _ask_about(context, policy, item.prompt, truth.questions())
        done += 1
        await context.report(iteration, Stage.EVALUATING, done, 2 * len(answers))
        return asked

    limit = context.run.shard_prompts * context.run.shards_in_flight
    results = await at_once(map(ask, answers), limit)
    return {item.prompt.id: asked for item, asked in zip(answers, results, strict=True)}


async def _ask_about(
    context: RunContext, policy: Checkpoint, prompt: Prompt, questions: Sequence[tuple[str, bool]]
) -> tuple[AskedQuestion, ...]:
    items = [
        Generation(
            prompt=Prompt(id=f"{prompt.id}?{number}", image=prompt.image, text=question_prompt(question)),
            seeds=(0,),
            sampling=_YES_NO,
        )
        for number, (question, _) in enumerate(questions)
    ]
    said: dict[str, str] = {}
    if items:
        async for outcome in context.keeper.answer(policy, items):
            said[outcome.item_id] = "" if outcome.value is None else outcome.value[0].text
    return tuple(
        AskedQuestion(question=question, expected=expected, answer=said[item.prompt.id])
        for item, (question, expected) in zip(items, questions, strict=True)
    )


def _annotation(context: RunContext, prompt_id: str) -> str:
    assert context.prompts.evaluation is not None
    return context.prompts.evaluation.truths[prompt_id]


def _row(context: RunContext, item: GreedyAnswer, asked: dict[str, tuple[AskedQuestion, ...]]) -> EvaluationRow | None:
    # Without claims for want of a service, an answer would pass for faultless.
    if item.answer is None or item.answer.drop in (DropReason.DECOMPOSER_FAILED, DropReason.LABELER_FAILED):
        return None
    annotation = _annotation(context, item.prompt.id)
    truth = context.truth(annotation)
    text = item.answer.candidate.text
    return EvaluationRow(
        prompt=item.prompt,
        answer=text,
        policy_version=item.answer.candidate.policy_version,
        truth=annotation,
        coverage=truth.coverage(text),
        claims=item.answer.claims,
        truths=tuple(truth.judge(judged.claim) for judged in item.answer.claims),
        questions=asked.get(item.prompt.id, ()),
    )
