"""The published way of an iteration: every stage runs over all prompts to its end and writes a file, the next one reads it.

Each stage asks its backend for everything at once, with the same requests as the streamed loop: answers divided once, questions
asked once a prompt. What a stage makes of the replies is written here again, from the paper, so that equal pairs say something.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

from rlaifv.adapters.preferences import encode_preferences, preference_row
from rlaifv.adapters.runs.shards import CollectedCandidate, CollectedPrompt
from rlaifv.core.candidates import Candidate, FinishReason, Prompt, Sampling
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.claims import Claim, ClaimType, content_id
from rlaifv.core.iteration import Validation
from rlaifv.core.length_balance import words
from rlaifv.core.outcomes import Outcome
from rlaifv.core.scoring import judge_claims, response_score
from rlaifv.core.seeds import candidate_seed
from rlaifv.core.verdicts import PROMPT_VERSION, Decision, Verdict
from rlaifv.ports.services import Answer, Generation, Questions
from services.orchestrator.asking import ask_all
from services.orchestrator.collecting import shard_count, shard_prompt_ids
from services.orchestrator.context import RunContext
from services.orchestrator.pairing import choose_pairs
from services.orchestrator.training import training_job

_GENERATED, _DIVIDED, _SCORED = "generated.jsonl", "divided.jsonl", "scored.jsonl"

I = TypeVar("I")  # noqa: E741 - item
T = TypeVar("T")
Json = dict[str, Any]


async def run_stages(context: RunContext, folder: Path) -> list[str]:
    """All iterations of the run; the SHA-256 of each pair file. Files of the stages are kept in `folder`."""
    start = await context.keeper.serve_start(context.run.policy)
    starts, known, digests = [start], dict[str, Validation](), []
    for iteration in range(1, context.run.iterations + 1):
        answering = starts[max(0, iteration - 1 - context.run.max_staleness)]
        digest, stays = await _iterate(context, folder / str(iteration), iteration, starts[-1], answering, known)
        digests.append(digest)
        starts.append(stays)
    return digests


async def _iterate(
    context: RunContext,
    folder: Path,
    iteration: int,
    start: Checkpoint,
    answering: Checkpoint,
    known: dict[str, Validation],
) -> tuple[str, Checkpoint]:
    """Collect, pair, train, validate; the pair file's digest and the weights that stay."""
    ids = [one for shard in range(shard_count(context)) for one in shard_prompt_ids(context, iteration, shard)]
    prompts = await asyncio.to_thread(context.prompts.train.prompts, ids)
    await _collect(context, folder, prompts, answering, iteration)
    pairs = await asyncio.to_thread(_pair, context, folder, prompts, iteration)
    (folder / "pairs.parquet").write_bytes(pairs)
    digest = hashlib.sha256(pairs).hexdigest()
    trained = await _train(context, folder, iteration, start, digest)
    for number, checkpoint in enumerate((start, trained)):
        if checkpoint.digest not in known:
            await context.keeper.ensure(checkpoint)
            known[checkpoint.digest] = await _validate(context, folder / f"validation-{number}", checkpoint)
    better = context.run.promotion.rule().promotes(known[start.digest], known[trained.digest])
    stays = trained if better else start
    await context.keeper.ensure(stays)
    return digest, stays


async def _collect(
    context: RunContext, folder: Path, prompts: Sequence[Prompt], start: Checkpoint, iteration: int | None
) -> None:
    """Generate, divide, score: three stages, three files. Without an iteration: one greedy answer each."""
    await asyncio.to_thread(folder.mkdir, parents=True)
    await _generate(context, folder, prompts, start, iteration)
    await _divide(context, folder, prompts)
    await _score(context, folder, prompts)


async def _generate(
    context: RunContext, folder: Path, prompts: Sequence[Prompt], start: Checkpoint, iteration: int | None
) -> None:
    run = context.run

    def seeds(prompt: Prompt) -> tuple[int, ...]:
        if iteration is None:
            return (0,)
        return tuple(candidate_seed(run.seed, prompt.id, iteration, index) for index in range(run.candidates))

    sampling: Sampling = run.greedy if iteration is None else run.sampling.sampling()
    items = {prompt.id: Generation(prompt=prompt, seeds=seeds(prompt), sampling=sampling) for prompt in prompts}
    found = context.keeper.answer(start, list(items.values()))
    whole = iteration is None  # greedy answers are judged even where they reach the token limit
    await _write(folder / _GENERATED, found, lambda candidates: [_noted(one, whole) for one in candidates])


async def _divide(context: RunContext, folder: Path, prompts: Sequence[Prompt]) -> None:
    generated = _read(folder / _GENERATED)
    items = {}
    for prompt in prompts:
        for text in dict.fromkeys(one["text"] for one in generated[prompt.id] if one["judged"]):
            key = content_id("answer", prompt.id, text)
            items[key] = Answer(id=key, text=text, prompt=prompt.text)
    found = ask_all(context.ports.decomposer.decompose, items, patience_s=context.patience_s)
    await _write(folder / _DIVIDED, found, asdict)


async def _score(context: RunContext, folder: Path, prompts: Sequence[Prompt]) -> None:
    generated, divided = _read(folder / _GENERATED), _read(folder / _DIVIDED)
    items = {}
    for prompt in prompts:
        claims = [claim for one in generated[prompt.id] for claim in _claims(prompt.id, one, divided)]
        questions = tuple(dict.fromkeys(claim["question"] for claim in claims))
        if questions:
            items[prompt.id] = Questions(id=prompt.id, image=prompt.image, questions=questions)
    found = ask_all(context.ports.labeler.ask, items, patience_s=context.patience_s)
    await _write(folder / _SCORED, found, lambda verdicts: [asdict(one) for one in verdicts])


async def _train(context: RunContext, folder: Path, iteration: int, start: Checkpoint, digest: str) -> Checkpoint:
    job = training_job(context, iteration, start, digest)
    job = replace(job, pairs_uri=str(folder / "pairs.parquet"), output_uri=str(folder / "training"))
    await context.ports.trainer.start(job)
    async for progress in context.ports.trainer.watch(job.id):
        if progress.checkpoint is not None:
            return progress.checkpoint
    raise RuntimeError("the trainer gave no checkpoint")


async def _validate(context: RunContext, folder: Path, checkpoint: Checkpoint) -> Validation:
    """Mean score and length of the greedy answers to the validation prompts."""
    ids = context.prompts.validation.ids
    prompts = await asyncio.to_thread(context.prompts.validation.prompts, ids)
    await _collect(context, folder, prompts, checkpoint, None)
    scored = [
        (one.score, words(one.candidate.text))
        for prompt in _judged(context, folder, prompts)
        for one in prompt.candidates
        if one.score is not None
    ]
    count = max(1, len(scored))
    return Validation(
        mean_score=sum(score for score, _ in scored) / count,
        mean_words=sum(length for _, length in scored) / count,
        answers=len(scored),
    )


def _pair(context: RunContext, folder: Path, prompts: Sequence[Prompt], iteration: int) -> bytes:
    collected = list(_judged(context, folder, prompts))
    balanced, _ = choose_pairs(collected, context.run.pair_rule.rule(), context.run.seed)
    by_id = {prompt.id: prompt for prompt in prompts}
    versions = {one.decomposer_version for prompt in collected for one in prompt.candidates} - {""}
    return encode_preferences(
        preference_row(
            pair,
            by_id[pair.prompt_id],
            by_id[pair.prompt_id].image.data,
            ds_name=context.name,
            iteration=iteration,
            decomposer_version=min(versions, default=""),
            prompt_version=PROMPT_VERSION,
        )
        for pair in balanced.pairs
    )


def _judged(context: RunContext, folder: Path, prompts: Sequence[Prompt]) -> Iterator[CollectedPrompt]:
    """The three files put together."""
    generated, divided, scored = (_read(folder / name) for name in (_GENERATED, _DIVIDED, _SCORED))
    for prompt in prompts:
        said = [Verdict(**one) for one in scored.get(prompt.id, ())]
        yield CollectedPrompt(
            prompt_id=prompt.id,
            text=prompt.text,
            image_sha256=prompt.image.sha256,
            candidates=tuple(_candidate(context, prompt.id, one, divided, said) for one in generated[prompt.id]),
        )


def _candidate(
    context: RunContext, prompt_id: str, fields: Json, divided: Mapping[str, Any], said: Sequence[Verdict]
) -> CollectedCandidate:
    kept = {name: value for name, value in fields.items() if name not in ("judged", "token_ids", "token_logprobs")}
    candidate = Candidate(**kept | {"finish_reason": FinishReason(fields["finish_reason"])})
    claims = [Claim(**claim | {"type": ClaimType(claim["type"])}) for claim in _claims(prompt_id, fields, divided)]
    if not claims:
        return CollectedCandidate(candidate=candidate)
    judged = judge_claims(claims, said, context.run.verdict_rule.rule())
    decisions = [one.decision for one in judged]
    decided = Decision.UNDECIDED not in decisions
    return CollectedCandidate(
        candidate=candidate,
        claims=judged,
        score=response_score(decisions, context.run.aggregate) if decided else None,
        decomposer_version=divided[content_id("answer", prompt_id, candidate.text)]["version"],
    )


def _claims(prompt_id: str, fields: Json, divided: Mapping[str, Any]) -> list[Json]:
    part = divided.get(content_id("answer", prompt_id, fields["text"])) if fields["judged"] else None
    return list(part["claims"]) if part is not None else []


def _noted(candidate: Candidate, whole: bool) -> Json:
    unfit = not candidate.text.strip() or (candidate.finish_reason is FinishReason.LENGTH and not whole)
    return asdict(candidate) | {"judged": not unfit}


async def _write(path: Path, found: AsyncIterator[Outcome[T]], as_json: Callable[[T], Any]) -> None:
    with path.open("w", encoding="utf-8") as file:
        async for outcome in found:
            file.write(json.dumps({"id": outcome.item_id, "value": as_json(outcome.unwrap())}) + "\n")


def _read(path: Path) -> dict[str, Any]:
    with path.open(encoding="utf-8") as file:
        return {line["id"]: line["value"] for line in map(json.loads, file)}
