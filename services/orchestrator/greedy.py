"""Greedy answers to held-out prompts, judged: what validation decides by and evaluation shows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from rlaifv.adapters.runs.prompt_sets import PromptSet
from rlaifv.adapters.runs.shards import CollectedCandidate
from rlaifv.core.candidates import Candidate, Prompt
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.outcomes import Outcome
from rlaifv.ports.services import Generation
from services.orchestrator.asking import at_once, first_error
from services.orchestrator.context import RunContext
from services.orchestrator.judging import judge_candidates

_NO_SEED = (0,)
"""Greedy answers do not depend on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GreedyAnswer:
    """A prompt and the judged answer to it; None where the policy refused the prompt."""

    prompt: Prompt
    answer: CollectedCandidate | None


async def greedy_answers(
    context: RunContext,
    checkpoint: Checkpoint,
    prompt_set: PromptSet,
    ids: Sequence[str],
    answered: Callable[[int], Awaitable[None]],
) -> list[GreedyAnswer]:
    """The answers of `checkpoint` to the prompts, in their order; `answered` hears how many are done.

    Prompts go through in shards like those of training, as many at once.
    """
    size = context.run.shard_prompts
    done = 0

    async def shard(part: Sequence[str]) -> list[GreedyAnswer]:
        nonlocal done
        answers = await _answer(context, checkpoint, await asyncio.to_thread(prompt_set.prompts, part))
        done += len(answers)
        await answered(done)
        return answers

    parts = [ids[begin : begin + size] for begin in range(0, len(ids), size)]
    return [item for part in await at_once(map(shard, parts), context.run.shards_in_flight) for item in part]


async def _answer(context: RunContext, checkpoint: Checkpoint, prompts: Sequence[Prompt]) -> list[GreedyAnswer]:
    by_id = {prompt.id: prompt for prompt in prompts}
    items = [Generation(prompt=prompt, seeds=_NO_SEED, sampling=context.run.greedy) for prompt in prompts]
    tasks: dict[str, asyncio.Task[GreedyAnswer]] = {}
    try:
        async with asyncio.TaskGroup() as group:
            async for outcome in context.keeper.answer(checkpoint, items):
                work = _judge(context, by_id[outcome.item_id], outcome)
                tasks[outcome.item_id] = group.create_task(work)
    except BaseExceptionGroup as errors:
        raise first_error(errors) from errors
    return [tasks[prompt.id].result() for prompt in prompts]


async def _judge(context: RunContext, prompt: Prompt, outcome: Outcome[tuple[Candidate, ...]]) -> GreedyAnswer:
    if outcome.error is not None:
        return GreedyAnswer(prompt=prompt, answer=None)
    judged = await judge_candidates(context, prompt, outcome.unwrap(), context.stopwatch(), keep_truncated=True)
    return GreedyAnswer(prompt=prompt, answer=judged[0])
