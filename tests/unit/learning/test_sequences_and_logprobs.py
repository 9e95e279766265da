"""Answer masks come from token ids, and answer-only log-probabilities equal the naive computation over everything."""

from __future__ import annotations

import pytest
import torch

from rlaifv.core.errors import InvalidInput
from rlaifv.learning.logprobs import answer_logprobs, token_logprobs
from rlaifv.learning.sequences import collate, join

IMAGE, END = 3, 2


def test_answer_mask_covers_answer_and_end_and_nothing_else() -> None:
    batch = collate([join([1, IMAGE, IMAGE, 7], [8, 9], END), join([1, 5], [6], END)], pad=END)
    assert batch.answer.tolist() == [[False] * 4 + [True] * 3, [False, False, True, True, False, False, False]]
    assert batch.attention.tolist() == [[1] * 7, [1, 1, 1, 1, 0, 0, 0]]
    assert batch.targets.tolist() == [8, 9, END, 6, END]


def test_markers_and_image_tokens_inside_an_answer_train_like_any_other() -> None:
    """Reference fault 10: an answer with the role marker in it was masked as a whole."""
    marker = [4, 5, IMAGE, END]
    sequence = join([1, IMAGE, 4, 7, 5], [8, *marker, 9], END)
    batch = collate([sequence], pad=END)
    assert sequence.answer_tokens == 7
    assert batch.targets.tolist() == [8, *marker, 9, END]


def test_an_empty_answer_trains_on_its_end() -> None:
    assert collate([join([1], [], END)], pad=0).targets.tolist() == [END]


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(InvalidInput, match="prompt"):
        join([], [1], END)


def _random_batch() -> tuple[torch.Tensor, torch.Tensor, list[list[int]], list[int]]:
    generator = torch.Generator().manual_seed(3)
    hidden = torch.randn(3, 9, 6, generator=generator)
    weight = torch.randn(11, 6, generator=generator)
    return hidden, weight, [[1, 2, 3, 4, 5, 6], [7, 8, 9], [10, 1, 2, 3, 4, 5, 6, 7]], [2, 1, 6]


@pytest.mark.parametrize("chunk", [1, 2, 3, 1000])
def test_sums_equal_the_full_vocabulary_computation(chunk: int) -> None:
    hidden, weight, ids, starts = _random_batch()
    batch = collate([join(row[:start], row[start:], 10) for row, start in zip(ids, starts, strict=True)], pad=0)
    naive = (hidden @ weight.T).log_softmax(-1)
    expected = []
    for row in range(3):
        length = len(ids[row]) + 1
        full = [*ids[row], 10]
        expected.append(sum(naive[row, at - 1, full[at]] for at in range(starts[row], length)))
    found = answer_logprobs(hidden, batch, lambda h: h @ weight.T, chunk_tokens=chunk)
    torch.testing.assert_close(found, torch.stack([torch.as_tensor(e) for e in expected]))


def test_chunked_gradients_equal_unchunked() -> None:
    gradients = []
    for chunk in (2, 1000):
        hidden, weight, ids, _ = _random_batch()
        hidden.requires_grad_()
        weight.requires_grad_()
        flat = hidden[0, :6]
        token_logprobs(flat, torch.tensor(ids[0]), lambda h, w=weight: h @ w.T, chunk).sum().backward()
        gradients.append((hidden.grad, weight.grad))
    torch.testing.assert_close(gradients[0], gradients[1])


def test_the_head_sees_answer_positions_only() -> None:
    hidden, weight, ids, starts = _random_batch()
    batch = collate([join(row[:start], row[start:], 10) for row, start in zip(ids, starts, strict=True)], pad=0)
    seen: list[int] = []

    def head(rows: torch.Tensor) -> torch.Tensor:
        seen.append(rows.shape[0])
        return rows @ weight.T

    answer_logprobs(hidden, batch, head)
    assert sum(seen) == int(batch.answer.sum())


def test_the_head_sees_no_more_than_a_chunk_at_once() -> None:
    """In the forward pass and, computed again, in the backward pass."""
    hidden, weight, _, _ = _random_batch()
    hidden.requires_grad_()
    seen: list[int] = []

    def head(rows: torch.Tensor) -> torch.Tensor:
        seen.append(rows.shape[0])
        return rows @ weight.T

    scored = token_logprobs(hidden[0], torch.arange(9), head, chunk_tokens=4)
    assert seen == [4, 4, 1]
    scored.sum().backward()
    assert sorted(seen) == [1, 1, 4, 4, 4, 4]


def test_log_softmax_is_fp32_for_half_precision_logits() -> None:
    hidden, weight, _, _ = _random_batch()
    found = token_logprobs(hidden[0].bfloat16(), torch.arange(9), lambda h: h @ weight.bfloat16().T)
    assert found.dtype == torch.float32
