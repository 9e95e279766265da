"""PAIRING: scored shards become the pair file. A pure function of the shards: same run, same seed, same bytes."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Iterator, Sequence

from rlaifv.adapters.preferences import ROWS_PER_GROUP, PreferenceRow, encode_preferences, preference_row
from rlaifv.adapters.runs import layout
from rlaifv.adapters.runs.records import Entry, PairOrigin
from rlaifv.adapters.runs.shards import CollectedPrompt, shard_from_parquet
from rlaifv.core.candidates import Prompt
from rlaifv.core.drops import merge_counts
from rlaifv.core.iteration import PairsBuilt
from rlaifv.core.length_balance import Balanced, balance_lengths, words
from rlaifv.core.pairs import PairRule, PreferencePair, prompt_pairs
from rlaifv.core.verdicts import PROMPT_VERSION
from services.orchestrator.collecting import shard_count
from services.orchestrator.context import RunContext


async def build_pairs(context: RunContext, iteration: int) -> Entry:
    """Choose the pairs of all shards and write them."""

    async def make() -> Entry:
        watch = context.stopwatch()
        with watch.at("pair"):
            entry = await asyncio.to_thread(_build, context, iteration)
        await context.note_times(watch, iteration)
        context.metrics.pairs.inc(entry.details["pairs"])
        context.metrics.dropped(entry.details["dropped"])
        return entry

    return await context.once(iteration, "pairs", make, needs=layout.pairs(iteration))


def choose_pairs(prompts: Iterable[CollectedPrompt], rule: PairRule, run_seed: int) -> tuple[Balanced, dict[str, int]]:
    """The pairs of an iteration and what was left out, by reason; prompts in their order."""
    pairs: list[PreferencePair] = []
    drops: list[dict[str, int]] = []
    for prompt in prompts:
        scored = [item for candidate in prompt.candidates if (item := candidate.scored()) is not None]
        found, left_out = prompt_pairs(scored, rule, run_seed)
        pairs += found
        drops.append({str(reason): count for reason, count in left_out.items()})
    balanced = balance_lengths(pairs) if rule.length_balance else _unbalanced(pairs)
    return balanced, merge_counts([*drops, {str(reason): count for reason, count in balanced.drops.items()}])


def _build(context: RunContext, iteration: int) -> Entry:
    shard_of: dict[str, int] = {}

    def collected() -> Iterable[CollectedPrompt]:
        for shard in range(shard_count(context)):
            name = layout.shard(iteration, shard)
            for prompt in shard_from_parquet(context.artifacts.read(name), name):
                shard_of[prompt.prompt_id] = shard
                yield prompt

    balanced, dropped = choose_pairs(collected(), context.run.pair_rule.rule(), context.run.seed)
    data = encode_preferences(_rows(context, iteration, balanced.pairs))
    context.artifacts.write(layout.pairs(iteration), data)
    context.ledger.add_pairs(context.name, [_origin(pair, iteration, shard_of) for pair in balanced.pairs])
    details = {
        "pairs": len(balanced.pairs),
        "dropped": dropped,
        "cut": balanced.cut,
        "mean_chosen_words": balanced.mean_chosen_words,
        "mean_rejected_words": balanced.mean_rejected_words,
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    event = PairsBuilt(len(balanced.pairs), context.run.min_pairs)
    return Entry(iteration=iteration, key="pairs", event=event, details=details)


def _rows(context: RunContext, iteration: int, pairs: Sequence[PreferencePair]) -> Iterator[PreferenceRow]:
    version = context.ledger.find(context.name, 0, "version:decomposer")
    for pair, prompt in _with_prompts(context, pairs):
        yield preference_row(
            pair,
            prompt,
            prompt.image.data,
            ds_name=context.name,
            iteration=iteration,
            decomposer_version=version.details["version"] if version else "",
            prompt_version=PROMPT_VERSION,
        )


def _with_prompts(context: RunContext, pairs: Sequence[PreferencePair]) -> Iterator[tuple[PreferencePair, Prompt]]:
    """Each pair with its prompt; a few hundred pictures in memory at a time."""
    for begin in range(0, len(pairs), ROWS_PER_GROUP):
        part = pairs[begin : begin + ROWS_PER_GROUP]
        ids = list(dict.fromkeys(pair.prompt_id for pair in part))
        prompts = dict(zip(ids, context.prompts.train.prompts(ids), strict=True))
        yield from ((pair, prompts[pair.prompt_id]) for pair in part)


def _origin(pair: PreferencePair, iteration: int, shard_of: dict[str, int]) -> PairOrigin:
    return PairOrigin(
        pair_id=pair.id,
        iteration=iteration,
        prompt_id=pair.prompt_id,
        shard=shard_of[pair.prompt_id],
        chosen_id=pair.chosen.candidate.id,
        rejected_id=pair.rejected.candidate.id,
    )


def _unbalanced(pairs: list[PreferencePair]) -> Balanced:
    chosen = [words(pair.chosen.candidate.text) for pair in pairs]
    rejected = [words(pair.rejected.candidate.text) for pair in pairs]
    return Balanced(
        pairs=tuple(pairs),
        cut=None,
        mean_chosen_words=sum(chosen) / len(chosen) if chosen else 0.0,
        mean_rejected_words=sum(rejected) / len(rejected) if rejected else 0.0,
        drops={},
    )
