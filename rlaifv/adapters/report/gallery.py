"""Before and after, side by side: the same picture answered at the start and in the last round.

Scenes are drawn by a seed from those whose answer changed, for better or worse, never picked by how well they went; the
worst remaining answers have their own section.
"""

from __future__ import annotations

import base64
import io
import json
import random
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image as Pillow

from rlaifv.adapters.report.results import RoundResult, RunResult
from rlaifv.adapters.report.run_files import AnswerRow, ClaimRow, read_images
from rlaifv.adapters.report.segments import Segment, segments

SCENES = 8
FAILURES = 6
_MOST_BYTES, _MOST_PIXELS = 60_000, 384


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownAnswer:
    """An answer cut in stretches for colouring; `label` says of which round."""

    label: str
    row: AnswerRow
    parts: list[Segment[ClaimRow]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhibit:
    """One picture with its truth in words and one or two answers."""

    image: str
    prompt_id: str
    prompt: str
    truth: str
    answers: tuple[ShownAnswer, ...]


def before_and_after(run: RunResult, seed: int) -> list[Exhibit]:
    """Up to SCENES pictures drawn with `seed` from those whose answer changed (from all, if none did), in the order drawn."""
    if run.first is None or run.last is None:
        return []
    before = {a.prompt_id: a for a in run.first.files.answers}
    after = {a.prompt_id: a for a in run.last.files.answers}
    both = sorted(before.keys() & after.keys())
    changed = [prompt_id for prompt_id in both if before[prompt_id].answer != after[prompt_id].answer] or both
    drawn = random.Random(seed).sample(changed, min(SCENES, len(changed)))
    images = _images(run.last, [after[prompt_id] for prompt_id in drawn])
    label = f"round {run.last.index}"
    return [
        _exhibit(images.get(after[p].row, b""), (_shown("start", before[p]), _shown(label, after[p]))) for p in drawn
    ]


def worst(run: RunResult) -> list[Exhibit]:
    """The answers of the last evaluated round with the most false claims, most first."""
    if not run.evaluated:
        return []
    last = run.evaluated[-1]
    failed = [answer for answer in last.files.answers if answer.false_claims]
    ranked = sorted(failed, key=lambda a: (-a.false_claims, a.prompt_id))[:FAILURES]
    images = _images(last, ranked)
    return [_exhibit(images.get(a.row, b""), (_shown(f"round {last.index}", a),)) for a in ranked]


def truth_in_words(scene: str) -> str:
    """For example "2 × red car (left)"; a list of what is really there; "" where the annotation is of another kind."""
    try:
        objects = json.loads(scene)["objects"]
        return ", ".join(
            " ".join(map(str, [f"{o['count']} ×", o["colour"], o["kind"], _places(o.get("positions") or ())])).strip()
            for o in objects
        )
    except (ValueError, KeyError, TypeError):
        return ""


def _places(positions: Sequence[str]) -> str:
    return f"({max(positions, key=len)})" if positions else ""


def data_uri(image: bytes) -> str:
    """The picture for an `<img>`: as it is if small and of a known kind, otherwise scaled down; "" if unreadable."""
    if not image:
        return ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture: Pillow.Image = Pillow.open(io.BytesIO(image))
            kind = picture.format or ""
            if kind in ("PNG", "JPEG", "WEBP") and len(image) <= _MOST_BYTES:
                return _encode(kind.lower(), image)
            picture.thumbnail((_MOST_PIXELS, _MOST_PIXELS))
            out = io.BytesIO()
            picture.convert("RGB").save(out, "JPEG", quality=85)
    except (OSError, ValueError, Pillow.DecompressionBombError):
        return ""
    return _encode("jpeg", out.getvalue())


def _encode(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _images(round_: RoundResult, answers: Sequence[AnswerRow]) -> dict[int, bytes]:
    return read_images(round_.files.evaluation_path, [a.row for a in answers]) if answers else {}


def _shown(label: str, row: AnswerRow) -> ShownAnswer:
    return ShownAnswer(label=label, row=row, parts=segments(row.answer, row.claims))


def _exhibit(image: bytes, answers: tuple[ShownAnswer, ...]) -> Exhibit:
    row = answers[0].row
    return Exhibit(
        image=data_uri(image),
        prompt_id=row.prompt_id,
        prompt=row.prompt,
        truth=truth_in_words(row.scene),
        answers=answers,
    )
