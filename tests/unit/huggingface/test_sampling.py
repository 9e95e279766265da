"""Drawing a token: greedy, tempered, nucleus; each row by its own numbers."""

from __future__ import annotations

import torch

from rlaifv.adapters.huggingface.sampling import draw, uniform_numbers

LOGITS = torch.tensor([[1.0, 3.0, 3.0, -2.0, 0.5]])


def drawn(temperature: float, top_p: float, count: int = 4000) -> torch.Tensor:
    rows = LOGITS.expand(count, -1)
    tokens, _ = draw(rows, torch.full((count,), temperature), torch.full((count,), top_p), uniform_numbers(3, count))
    return torch.bincount(tokens, minlength=5) / count


def test_temperature_zero_takes_the_likeliest_and_the_lowest_id_among_equals() -> None:
    assert drawn(0.0, 1.0)[1] == 1.0


def test_frequencies_follow_the_tempered_distribution() -> None:
    for temperature in (0.5, 0.7, 1.0, 2.0):
        expected = (LOGITS[0] / temperature).softmax(-1)
        torch.testing.assert_close(drawn(temperature, 1.0), expected, atol=0.025, rtol=0)


def test_nucleus_keeps_the_smallest_set_that_reaches_top_p() -> None:
    frequencies = drawn(1.0, 0.5)
    assert (frequencies > 0).tolist() == [False, True, True, False, False]
    torch.testing.assert_close(frequencies[1:3], torch.tensor([0.5, 0.5]), atol=0.03, rtol=0)
    assert drawn(1.0, 0.01)[1] == 1.0


def test_logprob_is_the_untempered_one() -> None:
    token, logprob = draw(LOGITS, torch.tensor([0.3]), torch.tensor([0.9]), torch.tensor([0.99]))
    assert logprob[0] == LOGITS.log_softmax(-1)[0, token[0]]


def test_numbers_are_a_function_of_the_seed() -> None:
    assert torch.equal(uniform_numbers(2**63 - 1, 8), uniform_numbers(2**63 - 1, 8))
    assert not torch.equal(uniform_numbers(1, 8), uniform_numbers(2, 8))
    assert torch.equal(uniform_numbers(1, 100)[:8], uniform_numbers(1, 8))


def test_a_number_just_under_one_still_draws_a_possible_token() -> None:
    peaked = torch.tensor([[0.0, 50.0, -900.0]])
    token, _ = draw(peaked, torch.ones(1), torch.ones(1), torch.tensor([1.0 - 1e-16], dtype=torch.float64))
    assert token.item() in (0, 1)
