"""VALIDATING: the labeler compares the trained policy with the iteration's start on prompts that nobody trains on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict

from rlaifv.adapters.runs import layout
from rlaifv.adapters.runs.records import Entry
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.iteration import Stage, Validated, Validation
from rlaifv.core.length_balance import words
from services.orchestrator.context import RunContext
from services.orchestrator.greedy import GreedyAnswer, greedy_answers


async def validate(context: RunContext, iteration: int, start: Checkpoint, trained: Checkpoint) -> Entry:
    """Both policies' figures and what follows from them. The policy serves what stays when it returns."""

    async def make() -> Entry:
        watch = context.stopwatch()
        with watch.at("validate"):
            known = await _known(context, iteration, start)
            before = known or await _figures(context, iteration, start, 0, 2)
            with watch.at("load"):
                await context.keeper.ensure(trained)
            after = await _figures(context, iteration, trained, 0 if known else 1, 1 if known else 2)
        rule = context.run.promotion.rule()
        event = Validated(before, after, rule)
        promoted = rule.promotes(before, after)
        await context.keeper.ensure(trained if promoted else start)
        details = {
            "promoted": promoted,
            "before": asdict(before),
            "after": asdict(after),
            "start": asdict(start),
            "trained": asdict(trained),
            "before_known_from_earlier_iteration": known is not None,
        }
        data = json.dumps(details, indent=2).encode()
        await asyncio.to_thread(context.artifacts.write, layout.validation(iteration), data)
        await context.note_times(watch, iteration)
        return Entry(iteration=iteration, key="validated", event=event, details=details)

    return await context.once(iteration, "validated", make, needs=layout.validation(iteration))


def summarise(answers: Sequence[GreedyAnswer]) -> Validation:
    """Mean score and length of the answers that have a score."""
    scored = [(item.answer.score, words(item.answer.candidate.text)) for item in answers if item.answer]
    known = [(score, length) for score, length in scored if score is not None]
    if not known:
        return Validation(mean_score=0.0, mean_words=0.0, answers=0)
    return Validation(
        mean_score=sum(score for score, _ in known) / len(known),
        mean_words=sum(length for _, length in known) / len(known),
        answers=len(known),
    )


async def _figures(context: RunContext, iteration: int, checkpoint: Checkpoint, part: int, parts: int) -> Validation:
    """The figures of one policy; `part` of `parts` halves of the stage's progress."""
    prompts = context.prompts.validation

    async def answered(done: int) -> None:
        count = len(prompts.ids)
        await context.report(iteration, Stage.VALIDATING, part * count + done, parts * count)

    return summarise(await greedy_answers(context, checkpoint, prompts, prompts.ids, answered))


async def _known(context: RunContext, iteration: int, start: Checkpoint) -> Validation | None:
    """The start's figures from an earlier iteration: the same weights answer the same greedily."""
    for earlier in range(iteration - 1, 0, -1):
        entry = await context.find(earlier, "validated")
        if entry is not None and isinstance(entry.event, Validated):
            for name, figures in (("trained", entry.event.after), ("start", entry.event.before)):
                if entry.details[name]["digest"] == start.digest:
                    return figures
    return None
