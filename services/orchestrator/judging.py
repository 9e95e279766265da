"""Divide and conquer for the answers to one prompt (RLAIF-V, sec. 3.2): claims of each, one round of questions for all.

Answers with the same text are divided once, questions that several answers raise are asked once, and the image is sent once.
"""

from __future__ import annotations

from collections.abc import Sequence

from rlaifv.adapters.runs.shards import CollectedCandidate
from rlaifv.core.candidates import Candidate, FinishReason, Prompt
from rlaifv.core.claims import content_id
from rlaifv.core.decomposition import Decomposition
from rlaifv.core.drops import DropReason
from rlaifv.core.errors import BackendFailed, RlaifvError
from rlaifv.core.outcomes import Outcome
from rlaifv.core.scoring import judge_claims, response_score
from rlaifv.core.verdicts import Decision, Verdict
from rlaifv.ports.services import Answer, Questions
from services.orchestrator.asking import ask_all
from services.orchestrator.context import RunContext, Stopwatch


async def judge_candidates(
    context: RunContext,
    prompt: Prompt,
    candidates: Sequence[Candidate],
    watch: Stopwatch,
    *,
    keep_truncated: bool = False,
) -> tuple[CollectedCandidate, ...]:
    """Every candidate with its judged claims and score, or the reason why it has none, in the given order.

    `keep_truncated` judges answers that reached the token limit too: they are not compared, but people read them.
    """
    unfit = {item.index: _unfit(item, keep_truncated) for item in candidates}
    texts = dict.fromkeys(item.text for item in candidates if unfit[item.index] is None)
    divided = await _divide(context, prompt, list(texts), watch)
    parts = [outcome.value for outcome in divided.values() if outcome.value is not None]
    questions = dict.fromkeys(claim.question for part in parts for claim in part.claims)
    asked = await _ask(context, prompt, tuple(questions), watch)
    await context.pin_version("decomposer", {part.version for part in parts})
    await context.pin_version("labeler", {verdict.labeler_version for verdict in asked.value or ()})
    return tuple(
        CollectedCandidate(candidate=item, drop=reason)
        if (reason := unfit[item.index]) is not None
        else _combine(context, item, divided[item.text], asked)
        for item in candidates
    )


def _unfit(candidate: Candidate, keep_truncated: bool) -> DropReason | None:
    if not candidate.text.strip():
        return DropReason.EMPTY_ANSWER
    if candidate.finish_reason is FinishReason.LENGTH and not keep_truncated:
        return DropReason.TRUNCATED_ANSWER
    return None


async def _divide(
    context: RunContext, prompt: Prompt, texts: Sequence[str], watch: Stopwatch
) -> dict[str, Outcome[Decomposition]]:
    """What the decomposer made of each text."""
    answers = {content_id("answer", prompt.id, text): text for text in texts}
    items = {key: Answer(id=key, text=text, prompt=prompt.text) for key, text in answers.items()}
    found: dict[str, Outcome[Decomposition]] = {}
    with watch.at("decompose"):
        async for outcome in ask_all(context.ports.decomposer.decompose, items, patience_s=context.patience_s):
            found[answers[outcome.item_id]] = outcome
    return found


async def _ask(
    context: RunContext, prompt: Prompt, questions: tuple[str, ...], watch: Stopwatch
) -> Outcome[tuple[Verdict, ...]]:
    """The verdicts on all questions about the prompt's image."""
    if not questions:
        return Outcome(item_id=prompt.id, value=())
    item = Questions(id=prompt.id, image=prompt.image, questions=questions)
    with watch.at("score"):
        async for outcome in ask_all(context.ports.labeler.ask, {prompt.id: item}, patience_s=context.patience_s):
            return outcome
    raise BackendFailed("the labeler gave no outcome")


def _combine(
    context: RunContext,
    candidate: Candidate,
    divided: Outcome[Decomposition],
    asked: Outcome[tuple[Verdict, ...]],
) -> CollectedCandidate:
    if divided.error is not None:
        return _dropped(candidate, DropReason.DECOMPOSER_FAILED, divided.error)
    part = divided.unwrap()
    if not part.claims:
        return CollectedCandidate(candidate=candidate, drop=DropReason.NO_CLAIMS, decomposer_version=part.version)
    if asked.error is not None:
        return _dropped(candidate, DropReason.LABELER_FAILED, asked.error)
    claims = judge_claims(part.claims, asked.unwrap(), context.run.verdict_rule.rule())
    decisions = [judged.decision for judged in claims]
    undecided = Decision.UNDECIDED in decisions
    return CollectedCandidate(
        candidate=candidate,
        claims=claims,
        score=None if undecided else response_score(decisions, context.run.aggregate),
        drop=DropReason.UNDECIDED if undecided else None,
        repeated_claims=part.duplicates,
        decomposer_version=part.version,
    )


def _dropped(candidate: Candidate, reason: DropReason, error: RlaifvError) -> CollectedCandidate:
    return CollectedCandidate(candidate=candidate, drop=reason, reason=error.message)
