"""Shows judged answers: claims coloured by verdict for people, plain objects for scripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rlaifv.core.answers import ScoredAnswer
from rlaifv.core.scoring import JudgedClaim
from rlaifv.core.verdicts import Decision

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

# Never colour alone: a rejected claim is underlined too.
_STYLES = {Decision.ACCEPTED: "green", Decision.REJECTED: "bold red underline", Decision.UNDECIDED: "yellow"}
_WORDS = {Decision.ACCEPTED: "yes", Decision.REJECTED: "no", Decision.UNDECIDED: "neither"}


@dataclass(frozen=True, slots=True)
class _Marked:
    """A judged claim as the segments see it."""

    start: int
    end: int
    decision: Decision


def score_to_json(answer: ScoredAnswer) -> dict[str, Any]:
    """`score` (None if no claim was decided), `claims[]` in the order of the answer, and the versions behind them."""
    return {
        "score": answer.score,
        "claims": [claim_to_json(judged) for judged in answer.claims],
        "labeler_version": answer.labeler_version,
        "decomposer_version": answer.decomposer_version,
    }


def claim_to_json(judged: JudgedClaim) -> dict[str, Any]:
    """`accepted` is None where the labeler said neither yes nor no."""
    return {
        "text": judged.claim.text,
        "start": judged.claim.start,
        "end": judged.claim.end,
        "type": judged.claim.type.value,
        "question": judged.claim.question,
        "p_yes": judged.verdict.p_yes,
        "p_no": judged.verdict.p_no,
        "mass": judged.verdict.mass,
        "accepted": None if judged.decision is Decision.UNDECIDED else judged.accepted,
    }


def coloured(answer: str, claims: Sequence[JudgedClaim]) -> Text:
    """The answer, each stretch in the colour of its innermost claims' worst verdict."""
    from rich.text import Text

    from rlaifv.adapters.report.segments import segments

    marked = [_Marked(judged.claim.start, judged.claim.end, judged.decision) for judged in claims]
    text = Text()
    for part in segments(answer, marked):
        text.append(_printable(part.text), style=_style([claim.decision for claim in part.claims]))
    return text


def claim_table(claims: Sequence[JudgedClaim]) -> Table:
    """One row a claim."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("claim", overflow="fold", ratio=1)
    for name in ("type", "labeler says", "p(yes)", "p(no)"):
        table.add_column(name, justify="left" if name in ("type", "labeler says") else "right", no_wrap=True)
    for judged in claims:
        table.add_row(
            Text(_printable(judged.claim.text)),
            judged.claim.type.value,
            Text(_WORDS[judged.decision], style=_STYLES[judged.decision]),
            f"{judged.verdict.p_yes:.3f}",
            f"{judged.verdict.p_no:.3f}",
        )
    return table


def score_in_words(answer: ScoredAnswer) -> str:
    """For example "score -1: 1 of 4 claims rejected"."""
    if answer.score is None:
        return (
            "no score: the answer holds no claim that can be checked"
            if not answer.claims
            else "no score: all undecided"
        )
    rejected = sum(judged.decision is Decision.REJECTED for judged in answer.claims)
    return f"score {answer.score:g}: {rejected} of {len(answer.claims)} claims rejected"


def _style(decisions: Sequence[Decision]) -> str:
    for decision in (Decision.REJECTED, Decision.UNDECIDED, Decision.ACCEPTED):
        if decision in decisions:
            return _STYLES[decision]
    return ""


def _printable(text: str) -> str:
    """Control characters of a model's answer must not reach the terminal."""
    return "".join(c if c in "\n\t" or c.isprintable() else "\ufffd" for c in text)
