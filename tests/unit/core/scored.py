"""Makes scored candidates for the tests of pairing."""

from __future__ import annotations

from rlaifv.core.candidates import Candidate, FinishReason
from rlaifv.core.scoring import ScoredCandidate


def scored(index: int, score: float, text: str | None = None, prompt_id: str = "p") -> ScoredCandidate:
    candidate = Candidate(
        prompt_id=prompt_id,
        index=index,
        seed=index,
        text=f"answer {index}" if text is None else text,
        finish_reason=FinishReason.STOP,
        policy_version="v",
    )
    return ScoredCandidate(candidate=candidate, claims=(), score=score)
