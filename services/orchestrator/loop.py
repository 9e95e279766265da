"""The loop: answer -> divide -> ask -> score -> pair -> train -> validate -> promote or not -> evaluate -> again.

     prompts of iteration i, cut in shards                             weights of iteration i (the start, DPO's reference)
              |                                                                          |
              v                                                                          v
    +--------------------- shard (queued, at most shards_in_flight at once) ---------------------+
    |  policy: n answers  -->  decomposer: claims, questions  -->  labeler: verdicts  -->  score   |   each prompt by itself,
    +----------------------------------------------------------------------------------------------+   no stage waits for another
              | iterations/i/shards/k.parquet
              v
        pair (pure)  -->  pairs.parquet  -->  train  -->  model/  -->  validate  --better-->  iteration i+1 starts from it
                              | too few                                   | not better -->  iteration i+1 starts from i's start
                              +-------------------------------------------+--> evaluate (figures for people), summary.json

| stage     | what bounds it                              | what waits when it is slow                     |
|-----------|---------------------------------------------|------------------------------------------------|
| generate  | shards_in_flight * shard_prompts prompts    | shards stay in the queue                       |
| decompose | the answers of one prompt a call            | its shard, so the policy gets no new one       |
| score     | the questions of one prompt a call          | its shard, so the policy gets no new one       |
| pair      | one prompt's candidates in memory           | training                                       |
| train     | one job an iteration                        | the next iteration: collecting is on-policy *  |
| validate  | shards_in_flight * shard_prompts prompts    | promotion                                      |
| evaluate  | shards_in_flight * shard_prompts prompts    | pairing: the next iteration is collected **    |

* With `max_staleness: 1` the next iteration is collected while this one trains, by the weights that this one started from: its
  answers are at most one promotion old. Its reference is its own start as ever. Validation waits for both, because the policy
  serves one version at a time; so which weights answer follows from the settings alone, not from what happened to be faster.

** Evaluation steers nothing, and the next iteration's answers come from the weights that are evaluated: both go on at once.

After a crash: every step first looks into the ledger, and what is there is not made again; what is not there is made again
with the same seeds and the same weights, so it comes out the same. Which weights answer is checked on every candidate.

This module knows the order of things. What a stage does is in the module of its name; what makes it durable is `durable.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict
from typing import Protocol

from rlaifv.adapters.runs import layout
from rlaifv.adapters.runs.reading import dump_run_file
from rlaifv.adapters.runs.records import Entry
from rlaifv.adapters.runs.summary import write_summary
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.iteration import Event, IterationState, ShardDone, Stage, next_state
from services.orchestrator.asking import at_once, first_error
from services.orchestrator.collecting import collect_shard, shard_count
from services.orchestrator.context import RunContext
from services.orchestrator.evaluating import evaluate_policy
from services.orchestrator.pairing import build_pairs
from services.orchestrator.training import train
from services.orchestrator.validating import validate


class Durable(Protocol):
    """How the loop's steps survive a crash."""

    async def step(self, name: str, make: Callable[[], Awaitable[Entry]]) -> Entry:
        """Make the entry, or give the one made before the crash."""
        ...

    def shards_beside(
        self, context: RunContext, iteration: int, start: Checkpoint, shards: Sequence[int]
    ) -> AbstractAsyncContextManager[None]:
        """Collect the shards through a bounded queue beside the block; its end waits for both, an error of one ends the other."""
        ...


class InProcess:
    """No durability but the ledger's: for tests and for replaying a run by hand."""

    async def step(self, name: str, make: Callable[[], Awaitable[Entry]]) -> Entry:
        return await make()

    @asynccontextmanager
    async def shards_beside(
        self, context: RunContext, iteration: int, start: Checkpoint, shards: Sequence[int]
    ) -> AsyncIterator[None]:
        work = (collect_shard(context, iteration, shard, start) for shard in shards)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(at_once(work, context.run.shards_in_flight))
                yield
        except BaseExceptionGroup as errors:
            raise first_error(errors) from errors


async def run_loop(context: RunContext, durable: Durable) -> None:
    """The whole run, from wherever it is. Raises what stopped it; then everything complete is kept."""
    began = await durable.step("begin", lambda: _begin(context))
    start = Checkpoint(**began.details["start"])
    context.iteration = 0
    await context.report(0, Stage.EVALUATING, 0, 0)
    async with durable.shards_beside(context, 1, start, range(shard_count(context))):
        await durable.step("evaluate 0", lambda: evaluate_policy(context, 0, start))
        await _show_collecting(context, 1)
    await _summarise(context, timeline=True)
    answering = start
    for index in range(1, context.run.iterations + 1):
        stale = answering if context.run.max_staleness else None
        answering = start
        start = await _iterate(context, durable, index, start, stale)
        await _summarise(context)
    await context.report(context.run.iterations, Stage.DONE, 0, 0)


async def _iterate(
    context: RunContext, durable: Durable, index: int, start: Checkpoint, stale: Checkpoint | None
) -> Checkpoint:
    """One iteration; gives the policy that the next one starts from. `stale`: the weights that answer, if not `start`."""
    state = IterationState(index=index, start=start, answering=stale, shards=shard_count(context))
    while state.stage is not Stage.DONE:
        context.iteration = index
        await context.report(index, state.stage, 0, state.shards if state.stage is Stage.COLLECTING else 0)
        for event in await _events(context, durable, state):
            state = next_state(state, event)
    context.metrics.round_over(state.promoted)
    return state.result


async def _events(context: RunContext, durable: Durable, state: IterationState) -> list[Event]:
    """Do the work of the state's stage; what happened."""
    index, start = state.index, state.start

    def make() -> Awaitable[Entry]:
        match state.stage:
            case Stage.PAIRING:
                return build_pairs(context, index)
            case Stage.TRAINING:
                return train(context, index, start)
            case Stage.VALIDATING:
                assert state.trained is not None, "VALIDATING comes after TRAINING"
                return validate(context, index, start, state.trained)
            case _:
                return evaluate_policy(context, index, state.result)

    if state.stage is Stage.COLLECTING:
        # Done beside the evaluation before, or the training.
        return [ShardDone(shard) for shard in range(state.shards)]
    answering = _answering_next(context, state)
    if answering is None:
        entry = await durable.step(f"{state.stage} {index}", make)
    else:
        async with durable.shards_beside(context, index + 1, answering, range(state.shards)):
            entry = await durable.step(f"{state.stage} {index}", make)
            await _show_collecting(context, index + 1)
    assert entry.event is not None, "every stage ends with an event"
    return [entry.event]


def _answering_next(context: RunContext, state: IterationState) -> Checkpoint | None:
    """The weights that collect the next iteration beside the stage; None where nothing can be collected beside it."""
    if state.index == context.run.iterations:
        return None
    if context.run.max_staleness and state.pairs >= context.run.min_pairs:
        return state.start if state.stage is Stage.TRAINING else None
    return state.result if state.stage is Stage.EVALUATING else None


async def _show_collecting(context: RunContext, iteration: int) -> None:
    """What goes on still is the next iteration's collecting: from now on that is told."""
    context.iteration = iteration
    await context.report(iteration, Stage.COLLECTING, 0, shard_count(context))


async def _begin(context: RunContext) -> Entry:
    """Note what the run is and find out the digest of its first weights."""

    async def make() -> Entry:
        data = dump_run_file(context.run).encode()
        await asyncio.to_thread(context.artifacts.write, layout.RUN_FILE, data)
        watch = context.stopwatch()
        with watch.at("load"):
            start = await context.keeper.serve_start(context.run.policy)
        await context.note_times(watch, 0)
        return Entry(iteration=0, key="begin", details={"start": asdict(start)})

    return await context.once(0, "begin", make)


async def _summarise(context: RunContext, *, timeline: bool = False) -> None:
    await asyncio.to_thread(write_summary, context.history, context.artifacts, timeline=timeline)
