"""What a language model replied, taken apart without trust: a reply is read as far as it is one, and each entry stands alone."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

_THOUGHTS: Final = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)


class MalformedReply(Exception):
    """The reply is not the JSON object that was asked for; the message says why and holds no text of the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedClaim:
    """A claim as the model wrote it; "" where it left something out."""

    quote: str = ""
    text: str = ""
    type: str = ""
    question: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedSkip:
    """A stretch that the model found nothing to check in."""

    quote: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """All that the model proposed, in its order."""

    claims: tuple[ProposedClaim, ...] = ()
    skipped: tuple[ProposedSkip, ...] = ()


def parse(content: str) -> Reply:
    """The reply in `content`, also behind thoughts, words or a code fence; raises MalformedReply."""
    body = _THOUGHTS.sub("", content)
    begin = body.find("{")
    if begin < 0:
        raise MalformedReply("there was no JSON object in it")
    try:
        found, _ = json.JSONDecoder().raw_decode(body, begin)
    except (ValueError, RecursionError) as exc:
        raise MalformedReply("its JSON was broken") from exc
    claims, skipped = found.get("claims", ()), found.get("skipped", ())
    if not (
        {"claims", "skipped"} & found.keys() and isinstance(claims, list | tuple) and isinstance(skipped, list | tuple)
    ):
        raise MalformedReply('it had no lists "claims" and "skipped"')
    return Reply(
        claims=tuple(ProposedClaim(**_texts(entry, ("quote", "text", "type", "question"))) for entry in claims),
        skipped=tuple(ProposedSkip(**_texts(entry, ("quote", "reason"))) for entry in skipped),
    )


def _texts(entry: Any, names: tuple[str, ...]) -> dict[str, str]:
    """The named texts of one entry, lines and spaces joined except in quotes; "" for what is missing or no text."""
    given = entry if isinstance(entry, dict) else {}
    texts = {name: value if isinstance(value := given.get(name), str) else "" for name in names}
    return {name: value if name == "quote" else " ".join(value.split()) for name, value in texts.items()}
