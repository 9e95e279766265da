"""Ids, seeds, images and limits of the records."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaifv.core.candidates import Candidate, FinishReason, Sampling
from rlaifv.core.claims import content_id
from rlaifv.core.drops import DropReason, merge_counts
from rlaifv.core.errors import InvalidInput
from rlaifv.core.images import Image
from rlaifv.core.outcomes import Outcome
from rlaifv.core.seeds import candidate_seed, derive_seed
from rlaifv.core.training import Hyperparameters, Lora


def test_paper_defaults() -> None:
    assert (Sampling().temperature, Sampling().top_p, Sampling().max_new_tokens) == (0.7, 1.0, 512)
    h = Hyperparameters()
    assert (h.beta, h.learning_rate, h.warmup_ratio, h.weight_decay, h.epochs, h.batch_size) == (
        0.1,
        5e-7,
        0.05,
        0.01,
        4,
        8,
    )
    assert (Lora().rank, Lora().alpha, Lora().dropout) == (64, 16, 0.05)


@given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4))
def test_content_ids_differ_exactly_where_the_parts_do(a: list[str], b: list[str]) -> None:
    assert (content_id(*a) == content_id(*b)) == (a == b)


def test_content_ids_take_any_text() -> None:
    assert len(content_id("\ud800", "🚗")) == 16


@given(st.integers(0, 2**63), st.text(max_size=8), st.integers(0, 9), st.integers(0, 99))
def test_seeds_fit_63_bits_and_repeat(run: int, prompt: str, iteration: int, index: int) -> None:
    seed = candidate_seed(run, prompt, iteration, index)
    assert 0 <= seed < 2**63
    assert seed == candidate_seed(run, prompt, iteration, index)


def test_seeds_differ_between_purposes_prompts_iterations_and_candidates() -> None:
    seeds = {candidate_seed(r, p, i, k) for r in (0, 1) for p in ("a", "b") for i in (1, 2) for k in range(10)}
    assert len(seeds) == 80
    assert derive_seed(0, "pairs", "a") != derive_seed(0, "candidate", "a")


def test_a_candidate_is_named_by_its_content() -> None:
    def made(seed: int, text: str) -> str:
        return Candidate(
            prompt_id="p", index=0, seed=seed, text=text, finish_reason=FinishReason.STOP, policy_version="v"
        ).id

    assert made(1, "x") == made(1, "x")
    assert len({made(1, "x"), made(2, "x"), made(1, "y")}) == 3


def test_an_image_has_one_source_and_a_digest() -> None:
    assert Image.of(b"abc").sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    for bad in (lambda: Image(), lambda: Image(data=b"x", uri="file:///x"), lambda: Image.of(b"")):
        with pytest.raises(InvalidInput, match="image"):
            bad()


@pytest.mark.parametrize(
    ("field", "values"),
    [("temperature", {"temperature": -1.0}), ("top_p", {"top_p": 0.0}), ("max_new_tokens", {"max_new_tokens": 0})],
)
def test_bad_sampling_is_named(field: str, values: dict[str, float]) -> None:
    with pytest.raises(InvalidInput, match=f"sampling.{field}"):
        Sampling(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "values"),
    [("beta", {"beta": 0}), ("micro_batch_size", {"batch_size": 8, "micro_batch_size": 3}), ("epochs", {"epochs": 0})],
)
def test_bad_hyperparameters_are_named(field: str, values: dict[str, int]) -> None:
    with pytest.raises(InvalidInput, match=f"training.{field}"):
        Hyperparameters(**values)  # type: ignore[arg-type]


def test_an_outcome_is_a_value_or_an_error() -> None:
    assert Outcome(item_id="a", value=1).unwrap() == 1
    with pytest.raises(InvalidInput, match="bad"):
        Outcome[int](item_id="a", error=InvalidInput("bad")).unwrap()
    with pytest.raises(ValueError, match="exactly one"):
        Outcome[int](item_id="a")


def test_counts_add_up_by_reason() -> None:
    merged = merge_counts([{DropReason.NO_PAIR: 1}, {DropReason.NO_PAIR: 2, DropReason.NO_CLAIMS: 0}])
    assert merged == {"no_pair": 3}


def test_long_values_are_abbreviated_in_messages() -> None:
    assert len(InvalidInput.field("answer", "x" * 10_000, "too long").message) < 120
