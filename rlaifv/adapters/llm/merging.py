"""Divisions of parts of a text, put together as one division of the whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from rlaifv.adapters.llm.drafts import canonical
from rlaifv.core.claims import Claim
from rlaifv.core.decomposition import Decomposition, LeftOutClaims, LeftOutReason, SkippedText


def merged(parts: Iterable[tuple[int, Decomposition]], version: str = "") -> Decomposition:
    """One division; each part comes with what to add to its places. A claim is taken where it is found first.

    A claim found twice at one place, by both windows that see it, is no repetition of the answer and not counted as one.
    """
    claims: dict[str, Claim] = {}
    skipped: list[SkippedText] = []
    left_out: Counter[LeftOutReason] = Counter()
    duplicates = 0
    for offset, part in parts:
        duplicates += part.duplicates
        for claim in part.claims:
            moved = Claim(
                text=claim.text,
                type=claim.type,
                question=claim.question,
                start=claim.start + offset,
                end=claim.end + offset,
            )
            known = claims.setdefault(canonical(claim.text), moved)
            duplicates += known.end <= moved.start
        skipped += [
            SkippedText(start=skip.start + offset, end=skip.end + offset, reason=skip.reason) for skip in part.skipped
        ]
        for left in part.left_out:
            left_out[left.reason] += left.count
    return Decomposition(
        claims=tuple(sorted(claims.values(), key=lambda claim: (claim.start, claim.end))),
        skipped=tuple(skipped),
        duplicates=duplicates,
        version=version,
        left_out=tuple(LeftOutClaims(reason=r, count=left_out[r]) for r in LeftOutReason if left_out[r]),
    )
