"""From a preference file to token sequences: what is learned from, which picture goes with it, and what was left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from rlaifv.adapters.files import file_digest
from rlaifv.adapters.huggingface.chat import ChatFormat, PreparedImage
from rlaifv.adapters.huggingface.loading import LoadedModel
from rlaifv.adapters.images import decode
from rlaifv.adapters.preferences import PreferenceRow, read_preferences
from rlaifv.core.drops import DropReason
from rlaifv.core.errors import Conflict, InvalidInput, TooLarge
from rlaifv.learning.sequences import TokenSequence, join

log = structlog.get_logger(__name__)

SEQUENCE_VERSION = "prompt+answer+eos/2"
"""How sequences are built and read; part of the stamp on everything computed from them. 2: packed, every prompt once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedPair:
    """Both answers with their prompt; `image` is the sha256 of the picture's bytes."""

    chosen: TokenSequence
    rejected: TokenSequence
    image: str


@dataclass(slots=True)
class PairData:
    """The pairs in the order of the file, their pictures (encoded bytes by sha256), and counts of what was dropped."""

    chat: ChatFormat
    digest: str
    pairs: list[EncodedPair] = field(default_factory=list)
    images: dict[str, bytes] = field(default_factory=dict, repr=False)
    dropped: Counter[str] = field(default_factory=Counter)

    @property
    def prompts(self) -> tuple[int, ...]:
        """For each pair the number of its prompt (picture and question), from 0 in order of appearance."""
        numbers: dict[tuple[str, tuple[int, ...]], int] = {}
        keys = ((pair.image, pair.chosen.ids[: pair.chosen.answer_start]) for pair in self.pairs)
        return tuple(numbers.setdefault(key, len(numbers)) for key in keys)

    def prepare(self, image: str) -> PreparedImage:
        """The picture through the model's processor."""
        return self.chat.prepare(decode(self.images[image]))


def load_pairs(path: Path, stated_digest: str, loaded: LoadedModel, max_tokens: int) -> PairData:
    """Read and encode a preference file. Pairs over `max_tokens` and pairs whose picture cannot be read are dropped, counted.

    Raises NotFound, DataLoss, InvalidInput (no such columns, or nothing left) or Conflict (the file is not the stated one).
    """
    rows = read_preferences(path)
    first = next(rows, None)
    digest = file_digest(path)
    if stated_digest and digest != stated_digest:
        raise Conflict(f"pairs_digest = {stated_digest!r} but {str(path)!r} has {digest!r}: the file changed")
    data = PairData(chat=loaded.chat, digest=digest)
    layouts: dict[str, PreparedImage] = {}
    while first is not None:
        _add(data, first, layouts, loaded.end_of_sequence, max_tokens)
        first = next(rows, None)
    if not data.pairs:
        raise InvalidInput.field("pairs_uri", str(path), f"holds no pair to learn from (dropped: {dict(data.dropped)})")
    return data


def _add(
    data: PairData, row: PreferenceRow, layouts: dict[str, PreparedImage], end_of_sequence: int, max_tokens: int
) -> None:
    image = row.image_sha256
    try:
        if image not in layouts:
            layouts[image] = data.chat.prepare(decode(row.image)).without_inputs()
        rendered = data.chat.render(row.question)
    except (InvalidInput, TooLarge) as exc:
        log.warning("pair_dropped", row=row.idx, reason=exc.message)
        data.dropped[DropReason.BAD_PROMPT] += 1
        return
    prompt = data.chat.prompt_ids(rendered, layouts[image])
    chosen, rejected = (
        join(prompt, data.chat.answer_ids(rendered, answer), end_of_sequence) for answer in (row.chosen, row.rejected)
    )
    if max(len(chosen.ids), len(rejected.ids)) > max_tokens:
        data.dropped[DropReason.TOO_LONG] += 1
        return
    data.images.setdefault(image, row.image)
    data.pairs.append(EncodedPair(chosen=chosen, rejected=rejected, image=image))
