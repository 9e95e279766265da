"""Windows hold every character of any text, at sentence borders, and never tear a character from its accents."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaifv.adapters.llm.windows import Window, sentences, windows

TEXTS = st.text(st.one_of(st.characters(), st.sampled_from(" .!?\n\r。👩‍👧🏽e\u0301\u0308,;Dr")), max_size=400)


def owned(window: Window) -> tuple[int, int]:
    """The characters of the answer that the window owns."""
    return window.offset + window.own, window.offset + len(window.text)


@given(text=TEXTS, window_chars=st.integers(1, 120), overlap_chars=st.integers(0, 60))
def test_every_character_is_owned_by_one_window(text: str, window_chars: int, overlap_chars: int) -> None:
    cut = windows(text, window_chars=window_chars, overlap_chars=overlap_chars)
    at = 0
    for window in cut:
        assert owned(window)[0] == at
        assert window.text == text[window.offset : window.offset + len(window.text)]
        assert sum(end - start for start, end in window.pieces) == len(window.text) - window.own
        assert 0 < len(window.text) - window.own <= window_chars
        at = owned(window)[1]
    assert at == len(text)


@given(text=TEXTS, overlap_chars=st.integers(0, 60))
def test_halves_own_what_the_whole_owned(text: str, overlap_chars: int) -> None:
    for window in windows(text, window_chars=100, overlap_chars=overlap_chars):
        if len(window.pieces) > 1:
            left, right = window.halves(overlap_chars)
            assert (owned(left)[0], owned(right)[1]) == owned(window)
            assert owned(left)[1] == owned(right)[0]
            for half in (left, right):
                assert half.text == text[half.offset : half.offset + len(half.text)]


@given(characters=st.lists(st.sampled_from(["a", "e\u0301", "👩\u200d👧", "👍🏽", "❤\ufe0f"]), min_size=1, max_size=60))
def test_no_cut_tears_a_character_from_what_belongs_to_it(characters: list[str]) -> None:
    borders = {sum(map(len, characters[:count])) for count in range(len(characters) + 1)}
    cut = windows("".join(characters), window_chars=7, overlap_chars=0)
    assert {window.offset for window in cut} <= borders


def test_windows_end_with_sentences_and_repeat_the_last_ones() -> None:
    text = "There is a man. He is tall. He holds a cup. It is red."
    first, second = windows(text, window_chars=30, overlap_chars=12)
    assert first.text == "There is a man. He is tall. "
    assert second.text == "He is tall. He holds a cup. It is red."
    assert second.text[second.own :] == "He holds a cup. It is red."


def test_the_lead_has_a_sentence_even_if_that_is_longer_than_the_overlap() -> None:
    text = "There is an old man with a stick. He is tall."
    second = windows(text, window_chars=35, overlap_chars=5)[1]
    assert second.text[: second.own] == "There is an old man with a stick. "
    assert windows(text, window_chars=35, overlap_chars=0)[1].own == 0


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Dr. Smith has 2 dogs. They sleep.", ["Dr. Smith has 2 dogs. ", "They sleep."]),
        ('She says "Stop!" He runs.', ['She says "Stop!" ', "He runs."]),
        ("赤い車があります。犬がいます。", ["赤い車があります。", "犬がいます。"]),
        ("- a cat\r\n- a dog", ["- a cat\r\n", "- a dog"]),
        ("1. A cat\n2. A dog", ["1. A cat\n", "2. A dog"]),
        ("Wait... what?!  Yes.", ["Wait... ", "what?!  ", "Yes."]),
        ("It is 3.5 m long.", ["It is 3.5 m long."]),
        ("There are 13. There is 1. 5", ["There are 13. ", "There is 1. ", "5"]),
        ("", []),
    ],
)
def test_sentences(text: str, parts: list[str]) -> None:
    assert [text[start:end] for start, end in sentences(text)] == parts


def test_a_long_sentence_is_cut_at_a_comma_or_between_characters() -> None:
    assert [w.text for w in windows("one, two, three", window_chars=10, overlap_chars=0)] == ["one, two, ", "three"]
    accented = windows("ae\u0301" * 4, window_chars=5, overlap_chars=0)
    assert [w.text for w in accented] == ["ae\u0301a", "e\u0301ae\u0301", "ae\u0301"]


@pytest.mark.parametrize("text", ["." * 1_000_000, " " * 1_000_000, '."' * 500_000, "a" * 1_000_000, "a.\n" * 300_000])
def test_a_megabyte_of_anything_takes_a_moment(text: str) -> None:
    begin = time.perf_counter()
    assert sum(owned(w)[1] - owned(w)[0] for w in windows(text, window_chars=1500, overlap_chars=300)) == len(text)
    assert time.perf_counter() - begin < 20
