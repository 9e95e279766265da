"""COLLECTING: a shard of prompts becomes scored candidates. Each prompt goes through all stages as soon as it can."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rlaifv.adapters.runs import layout
from rlaifv.adapters.runs.prompt_sets import iteration_prompts
from rlaifv.adapters.runs.records import Entry
from rlaifv.adapters.runs.shards import CollectedPrompt, shard_to_parquet
from rlaifv.core.candidates import Candidate, Prompt
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.drops import DropReason, merge_counts
from rlaifv.core.errors import BackendFailed
from rlaifv.core.iteration import ShardDone, Stage
from rlaifv.core.outcomes import Outcome
from rlaifv.core.seeds import candidate_seed
from rlaifv.ports.services import Generation
from services.orchestrator.asking import first_error
from services.orchestrator.context import RunContext, Stopwatch
from services.orchestrator.judging import judge_candidates

_FAULTS = (DropReason.DECOMPOSER_FAILED, DropReason.LABELER_FAILED)


def shard_count(context: RunContext) -> int:
    """Shards of each iteration."""
    return -(-context.run.prompts_per_iteration // context.run.shard_prompts)


def shard_prompt_ids(context: RunContext, iteration: int, shard: int) -> Sequence[str]:
    """The prompts of a shard, in their order; a pure function of the run file and the ids in the training set."""
    run = context.run
    ids = iteration_prompts(context.prompts.order, iteration, run.prompts_per_iteration)
    return ids[shard * run.shard_prompts : (shard + 1) * run.shard_prompts]


async def collect_shard(context: RunContext, iteration: int, shard: int, start: Checkpoint) -> Entry:
    """Generate, decompose, score and write the shard; a shard that is there already is left as it is."""

    async def make() -> Entry:
        context.metrics.shards_in_flight.inc()
        try:
            return await _collect(context, iteration, shard, start)
        finally:
            context.metrics.shards_in_flight.dec()

    entry = await context.once(iteration, f"shard:{shard}", make, needs=layout.shard(iteration, shard))
    # Counting takes the longer the more shards there are, so it is not done for each of them.
    if context.report_due():
        done = await asyncio.to_thread(context.ledger.count, context.name, iteration, "shard:")
        await context.report(iteration, Stage.COLLECTING, done, shard_count(context))
    return entry


async def _collect(context: RunContext, iteration: int, shard: int, start: Checkpoint) -> Entry:
    ids = shard_prompt_ids(context, iteration, shard)
    prompts = await asyncio.to_thread(context.prompts.train.prompts, ids)
    watch = context.stopwatch()
    collected = await _flow(context, iteration, prompts, start, watch)
    _refuse_lost(collected)
    data = await asyncio.to_thread(shard_to_parquet, collected, context.run.sampling.sampling())
    await asyncio.to_thread(context.artifacts.write, layout.shard(iteration, shard), data)
    await context.note_times(watch, iteration, shard)
    details = _figures(collected) | {"sha256": hashlib.sha256(data).hexdigest()}
    _count(context, details)
    return Entry(iteration=iteration, key=f"shard:{shard}", event=ShardDone(shard), details=details)


async def _flow(
    context: RunContext, iteration: int, prompts: Sequence[Prompt], start: Checkpoint, watch: Stopwatch
) -> list[CollectedPrompt]:
    """All prompts of the shard at once: one is judged while the policy still answers the next."""
    run = context.run
    by_id = {prompt.id: prompt for prompt in prompts}
    items = [
        Generation(
            prompt=prompt,
            seeds=tuple(candidate_seed(run.seed, prompt.id, iteration, index) for index in range(run.candidates)),
            sampling=run.sampling.sampling(),
        )
        for prompt in prompts
    ]
    tasks: dict[str, asyncio.Task[CollectedPrompt]] = {}
    try:
        async with asyncio.TaskGroup() as group:
            with watch.at("generate"):
                async for outcome in context.keeper.answer(start, items):
                    work = _judge(context, by_id[outcome.item_id], outcome, watch)
                    tasks[outcome.item_id] = group.create_task(work)
    except BaseExceptionGroup as errors:
        raise first_error(errors) from errors
    return [tasks[prompt.id].result() for prompt in prompts]


async def _judge(
    context: RunContext, prompt: Prompt, outcome: Outcome[tuple[Candidate, ...]], watch: Stopwatch
) -> CollectedPrompt:
    collected = CollectedPrompt(prompt_id=prompt.id, text=prompt.text, image_sha256=prompt.image.sha256)
    if outcome.error is not None:
        return replace(collected, drop=DropReason.BAD_PROMPT, reason=outcome.error.message)
    return replace(collected, candidates=await judge_candidates(context, prompt, outcome.unwrap(), watch))


def _refuse_lost(collected: Sequence[CollectedPrompt]) -> None:
    """Raises BackendFailed if several prompts and not one came through: a service is at fault, not an item."""
    reasons = [_failure(prompt) for prompt in collected]
    if len(reasons) > 1 and all(reasons):
        raise BackendFailed(f"all {len(reasons)} prompts of a shard failed; the first: {reasons[0]}")


def _failure(prompt: CollectedPrompt) -> str:
    """Why a service made nothing of the prompt; "" if it made something, or had no claims to look at."""
    if prompt.drop is not None:
        return f"{prompt.drop}: {prompt.reason}"
    failed = [item for item in prompt.candidates if item.drop in _FAULTS]
    through = [item for item in prompt.candidates if item.drop is None]
    return f"{failed[0].drop}: {failed[0].reason}" if failed and not through else ""


def _figures(collected: Sequence[CollectedPrompt]) -> dict[str, Any]:
    candidates = [item for prompt in collected for item in prompt.candidates]
    return {
        "prompts": len(collected),
        "candidates": len(candidates),
        "claims": sum(len(item.claims) for item in candidates),
        "dropped": merge_counts(prompt.drops() for prompt in collected),
    }


def _count(context: RunContext, figures: dict[str, Any]) -> None:
    context.metrics.shards.inc()
    context.metrics.prompts.inc(figures["prompts"])
    context.metrics.candidates.inc(figures["candidates"])
    context.metrics.claims.inc(figures["claims"])
    context.metrics.dropped(figures["dropped"])
