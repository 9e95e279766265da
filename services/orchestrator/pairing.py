"""PAIRING: scored shards become the pair file. A pure function of the shards: same run, same seed, same bytes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby, islice
from typing import IO

from rlaifv.adapters.preferences import ROWS_PER_GROUP, PreferenceWriter, preference_row
from rlaifv.adapters.runs import layout
from rlaifv.adapters.runs.records import Entry, PairOrigin
from rlaifv.adapters.runs.shards import CollectedPrompt, shard_candidates, shard_scores
from rlaifv.core.candidates import Prompt
from rlaifv.core.drops import merge_counts
from rlaifv.core.iteration import PairsBuilt
from rlaifv.core.length_balance import Balanced, balance_lengths, balance_words, words
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


@dataclass(frozen=True, slots=True)
class _Chosen:
    """A pair by its place: the shard, the rows of both candidates in it, and their lengths in words."""

    shard: int
    chosen: int
    rejected: int
    words: tuple[int, int]


def _build(context: RunContext, iteration: int) -> Entry:
    """Shard by shard, twice: which pairs there are must be known of all before the first is written."""
    found, drops = _choose(context, iteration)
    balance = balance_words([pair.words for pair in found], drop=context.run.pair_rule.length_balance)
    kept = [pair for pair, keep in zip(found, balance.keep, strict=True) if keep]
    with context.artifacts.writing(layout.pairs(iteration)) as file:
        sha256 = _write(context, iteration, kept, file)
    details = {
        "pairs": len(kept),
        "dropped": merge_counts([drops, {str(reason): count for reason, count in balance.drops.items()}]),
        "cut": balance.cut,
        "mean_chosen_words": balance.mean_chosen_words,
        "mean_rejected_words": balance.mean_rejected_words,
        "sha256": sha256,
    }
    event = PairsBuilt(len(kept), context.run.min_pairs)
    return Entry(iteration=iteration, key="pairs", event=event, details=details)


def _choose(context: RunContext, iteration: int) -> tuple[list[_Chosen], Counter[str]]:
    """The pairs of all shards before the lengths are balanced, and what was left out by reason."""
    rule, found, drops = context.run.pair_rule.rule(), list[_Chosen](), Counter[str]()
    for shard in range(shard_count(context)):
        name = layout.shard(iteration, shard)
        for scored in shard_scores(context.artifacts.read(name), name):
            pairs, left_out = prompt_pairs([candidate for _, candidate in scored], rule, context.run.seed)
            row_of = {candidate.candidate.index: row for row, candidate in scored}
            found += [_place(pair, shard, row_of) for pair in pairs]
            drops.update({str(reason): count for reason, count in left_out.items()})
    return found, drops


def _place(pair: PreferencePair, shard: int, row_of: Mapping[int, int]) -> _Chosen:
    chosen, rejected = pair.chosen.candidate, pair.rejected.candidate
    return _Chosen(shard, row_of[chosen.index], row_of[rejected.index], (words(chosen.text), words(rejected.text)))


def _write(context: RunContext, iteration: int, kept: Sequence[_Chosen], file: IO[bytes]) -> str:
    """Write the pairs, and where they come from to the ledger; the file's digest. A few hundred in memory at a time."""
    version = context.ledger.find(context.name, 0, "version:decomposer")
    row = partial(
        preference_row,
        ds_name=context.name,
        iteration=iteration,
        decomposer_version=version.details["version"] if version else "",
        prompt_version=PROMPT_VERSION,
    )
    writer = PreferenceWriter(file)
    coming = _read(context, iteration, kept)
    while group := list(islice(coming, ROWS_PER_GROUP)):
        prompts = _prompts(context, [pair for _, pair in group])
        writer.add([row(pair, prompts[pair.prompt_id], prompts[pair.prompt_id].image.data) for _, pair in group])
        context.ledger.add_pairs(context.name, [_origin(pair, iteration, shard) for shard, pair in group])
    writer.close()
    return writer.sha256


def _read(context: RunContext, iteration: int, kept: Sequence[_Chosen]) -> Iterator[tuple[int, PreferencePair]]:
    """The pairs with all that was made of their candidates, one shard in memory at a time."""
    for shard, places in groupby(kept, key=lambda place: place.shard):
        of_shard = list(places)
        rows = sorted({row for place in of_shard for row in (place.chosen, place.rejected)})
        name = layout.shard(iteration, shard)
        candidates = dict(zip(rows, shard_candidates(context.artifacts.read(name), name, rows), strict=True))
        for place in of_shard:
            chosen, rejected = candidates[place.chosen].scored(), candidates[place.rejected].scored()
            assert chosen is not None, "only candidates with a score are chosen"
            assert rejected is not None, "only candidates with a score are rejected"
            yield shard, PreferencePair(prompt_id=chosen.candidate.prompt_id, chosen=chosen, rejected=rejected)


def _prompts(context: RunContext, pairs: Sequence[PreferencePair]) -> dict[str, Prompt]:
    ids = list(dict.fromkeys(pair.prompt_id for pair in pairs))
    return dict(zip(ids, context.prompts.train.prompts(ids), strict=True))


def _origin(pair: PreferencePair, iteration: int, shard: int) -> PairOrigin:
    return PairOrigin(
        pair_id=pair.id,
        iteration=iteration,
        prompt_id=pair.prompt_id,
        shard=shard,
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
