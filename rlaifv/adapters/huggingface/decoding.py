"""Many answers decoded together: samples of several prompts as rows of one batch, which others join and leave at any step.

A row's tokens depend on (weights, prompt, image, parameters, seed) alone. What that takes: each prompt is read by itself, rows
keep their own slots (decoder.py), shapes are padded so that no result depends on the number of rows (attention.py), and random
numbers are drawn up front from each row's own generator (sampling.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from rlaifv.adapters.huggingface.attention import ROW_MULTIPLE, padded
from rlaifv.adapters.huggingface.decoder import Decoder, RowCache
from rlaifv.adapters.huggingface.prefix import Prefix
from rlaifv.adapters.huggingface.sampling import draw, uniform_numbers
from rlaifv.core.candidates import FinishReason, Sampling

_GROWTH = 64
"""Slots added when the longest row runs out of room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """One answer: its ids (end of sequence included where it was drawn), their log-probabilities, and why it ended."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish: FinishReason


@dataclass(slots=True, eq=False)
class Group:
    """The samples of one prompt. `answers` fills up in the order of the seeds; `cancelled` makes the batch forget it."""

    prefix: Prefix
    seeds: tuple[int, ...]
    sampling: Sampling
    answers: list[Sampled | None] = field(default_factory=list)
    open: int = 0
    cancelled: bool = False

    def __post_init__(self) -> None:
        self.answers = [None] * len(self.seeds)
        self.open = len(self.seeds)


class _Rows:
    """One tensor a property, one entry a row; a dead row has no owner and its slot is 0."""

    def __init__(self, rows: int, device: torch.device) -> None:
        def zeros(dtype: torch.dtype) -> Tensor:
            return torch.zeros(rows, dtype=dtype, device=device)

        self.token, self.slot, self.position = zeros(torch.long), zeros(torch.long), zeros(torch.long)
        self.count, self.limit = zeros(torch.long), zeros(torch.long)
        self.temperature, self.top_p = zeros(torch.float64), zeros(torch.float64)
        self.owners: list[tuple[Group, int] | None] = [None] * rows


class DecodingBatch:
    """Up to `max_rows` rows in flight; more wait. Owned by one thread; call inside torch.inference_mode()."""

    def __init__(self, decoder: Decoder, end_tokens: Sequence[int], max_rows: int = 96) -> None:
        self._decoder = decoder
        self._max_rows = padded(max_rows, ROW_MULTIPLE)
        self._end = torch.tensor(list(end_tokens), device=decoder.device)
        self.reset()

    def reset(self) -> None:
        """Forget all rows and everything that waits."""
        device = self._decoder.device
        self._waiting: deque[tuple[Group, int]] = deque()
        self._cache: RowCache | None = None
        self._rows = _Rows(0, device)
        self._uniform = torch.zeros((0, 1), dtype=torch.float64, device=device)
        self._ids = torch.zeros((0, 1), dtype=torch.long, device=device)
        self._logprobs = torch.zeros((0, 1), device=device)

    @property
    def active(self) -> int:
        """Rows in flight."""
        return sum(owner is not None for owner in self._rows.owners)

    @property
    def has_room(self) -> bool:
        """Whether another group could begin at once."""
        return not self._waiting and self.active < self._max_rows

    @property
    def idle(self) -> bool:
        return not self._waiting and self.active == 0

    def add(self, group: Group) -> None:
        """Let the samples of a group join as soon as there are rows for them."""
        self._waiting.extend((group, index) for index in range(len(group.seeds)))

    def step(self) -> list[Group]:
        """One token for every row; returns the groups that are complete now."""
        done = self._seat()
        self._forget_cancelled()
        if self.active == 0:
            return done
        self._shrink()
        rows, cache = self._rows, self._cache
        assert cache is not None
        if int(rows.slot.max()) >= cache.capacity:
            cache.select(torch.arange(cache.rows, device=self._end.device), cache.rows, cache.capacity + _GROWTH)
        hidden = self._decoder.extend(cache, rows.token[:, None], rows.slot[:, None], rows.position[:, None])
        alive = torch.tensor([owner is not None for owner in rows.owners], device=self._end.device)
        rows.slot += alive
        rows.position += alive
        return done + self._advance(self._decoder.logits(hidden[:, 0]), cache.cursor.row_index, alive)

    def _advance(self, logits: Tensor, index: Tensor, alive: Tensor) -> list[Group]:
        """Draw a token for the rows `index`, note it, and close the rows that end with it."""
        rows = self._rows
        count = rows.count[index]
        tokens, logprobs = draw(logits, rows.temperature[index], rows.top_p[index], self._uniform[index, count])
        self._ids[index, count] = tokens
        self._logprobs[index, count] = logprobs
        rows.token[index] = tokens
        rows.count[index] = torch.where(alive, count + 1, count)
        ended = torch.isin(tokens, self._end)
        over = alive & (ended | (rows.count[index] >= rows.limit[index]))
        closed = zip(index[over].tolist(), ended[over].tolist(), strict=True)
        return [group for row, stop in closed if (group := self._close(row, stop)) is not None]

    def _close(self, row: int, ended: bool) -> Group | None:
        owner = self._rows.owners[row]
        assert owner is not None
        group, index = owner
        count = int(self._rows.count[row])
        group.answers[index] = Sampled(
            ids=tuple(self._ids[row, :count].tolist()),
            logprobs=tuple(self._logprobs[row, :count].tolist()),
            finish=FinishReason.STOP if ended else FinishReason.LENGTH,
        )
        group.open -= 1
        self._free(row)
        return group if group.open == 0 and not group.cancelled else None

    def _free(self, row: int) -> None:
        self._rows.owners[row] = None
        self._rows.slot[row] = 0
        self._rows.position[row] = 0
        self._rows.count[row] = 0

    def _forget_cancelled(self) -> None:
        for row, owner in enumerate(self._rows.owners):
            if owner is not None and owner[0].cancelled:
                self._free(row)

    def _seat(self) -> list[Group]:
        """Give waiting samples rows and draw their first tokens from the prompt's own logits."""
        done: list[Group] = []
        while self._waiting and self.active < self._max_rows:
            group = self._waiting[0][0]
            batch = [self._waiting.popleft()]
            room = self._max_rows - self.active
            while self._waiting and self._waiting[0][0] is group and len(batch) < room:
                batch.append(self._waiting.popleft())
            if not group.cancelled:
                done += self._begin(group, [index for _, index in batch])
        return done

    def _begin(self, group: Group, indices: list[int]) -> list[Group]:
        free = self._free_rows(group.prefix, len(indices))
        sampling, prefix = group.sampling, group.prefix
        limit = min(sampling.max_new_tokens, self._decoder.context_tokens - prefix.tokens)
        self._widen(limit)
        rows, cache = self._rows, self._cache
        assert cache is not None
        at = torch.tensor(free, device=self._end.device)
        cache.fill(prefix, at)
        for row, index in zip(free, indices, strict=True):
            rows.owners[row] = (group, index)
            self._uniform[row, :limit] = uniform_numbers(group.seeds[index], limit).to(self._uniform.device)
        rows.slot[at], rows.position[at], rows.count[at] = prefix.tokens, prefix.next_position, 0
        rows.limit[at], rows.temperature[at], rows.top_p[at] = limit, sampling.temperature, sampling.top_p
        logits = self._decoder.logits(prefix.last_hidden[None]).expand(len(free), -1)
        return self._advance(logits, at, torch.ones_like(at, dtype=torch.bool))

    def _free_rows(self, prefix: Prefix, wanted: int) -> list[int]:
        """Numbers of dead rows, after making the batch larger where there are too few, or its slots more."""
        capacity = padded(prefix.tokens + 1, _GROWTH)
        if self._cache is None:
            self._cache = RowCache(prefix, 0, capacity)
        free = [row for row, owner in enumerate(self._rows.owners) if owner is None]
        size = min(self._max_rows, padded(self._cache.rows + wanted - len(free), ROW_MULTIPLE))
        if size > self._cache.rows or capacity > self._cache.capacity:
            self._resize(
                list(range(self._cache.rows)), max(size, self._cache.rows), max(capacity, self._cache.capacity)
            )
            free = [row for row, owner in enumerate(self._rows.owners) if owner is None]
        return free[:wanted]

    def _shrink(self) -> None:
        """Close ranks when at most half of the rows are alive: the work of a step is the number of rows."""
        assert self._cache is not None
        alive = [row for row, owner in enumerate(self._rows.owners) if owner is not None]
        size = padded(len(alive), ROW_MULTIPLE)
        if self._waiting or size > self._cache.rows * 0.75:
            return
        self._resize(alive, size, padded(int(self._rows.slot.max()) + 1, _GROWTH))

    def _resize(self, kept: list[int], size: int, capacity: int) -> None:
        """Keep the rows `kept`, fill up to `size` with dead ones."""
        assert self._cache is not None
        old, rows = self._rows, _Rows(size, self._end.device)
        index = torch.tensor(kept, dtype=torch.long, device=self._end.device)
        for name in ("token", "slot", "position", "count", "limit", "temperature", "top_p"):
            getattr(rows, name)[: len(kept)] = getattr(old, name)[index]
        rows.owners[: len(kept)] = [old.owners[row] for row in kept]
        for name in ("_uniform", "_ids", "_logprobs"):
            before: Tensor = getattr(self, name)
            after = before.new_zeros((size, before.shape[1]))
            after[: len(kept)] = before[index]
            setattr(self, name, after)
        self._rows = rows
        self._cache.select(index, size, capacity)

    def _widen(self, limit: int) -> None:
        """Room for `limit` tokens in the notes of every row."""
        for name in ("_uniform", "_ids", "_logprobs"):
            before: Tensor = getattr(self, name)
            if before.shape[1] < limit:
                after = before.new_zeros((before.shape[0], limit))
                after[:, : before.shape[1]] = before
                setattr(self, name, after)
