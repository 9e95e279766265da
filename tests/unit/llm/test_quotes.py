"""Quotes are found as written or alike, at the right one of several places, and never where they are not."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaifv.adapters.llm.quotes import QuotedText, folded

TEXTS = st.text(st.one_of(st.characters(), st.sampled_from("aA ée\u0301“\"'\r\n👩🏽ßﬁ")), max_size=120)


def found(text: str, quote: str, own: int = 0, after: int = 0) -> str | None:
    place = QuotedText(text).find(quote, own=own, after=after)
    return None if place is None else text[place[0] : place[1]]


@pytest.mark.parametrize(
    ("text", "quote", "place"),
    [
        ("A red car.", "red car", "red car"),
        ("A Red  car.", "a red car", "A Red  car"),
        ("A red\r\ncar.", "red car", "red\r\ncar"),
        ("It says “STOP”.", 'says "STOP"', "says “STOP”"),
        ("Un cafe\u0301 noir", "café", "cafe\u0301"),
        ("Un café noir", "cafe\u0301", "café"),
        ("two dogs 🐕 here", "dogs 🐕 here", "dogs 🐕 here"),
        ("two 👍🏽 here", "two 👍", "two 👍"),
        ("Straße", "STRASSE", "Straße"),
        ("A cat sits", "a cat sits...", "A cat sits"),
        ("a carpet and a car", "car", "car"),
        ("A cat.", "a dog", None),
        ("A cat.", "", None),
        ("A cat.", " . ", None),
        ("", "a", None),
    ],
)
def test_where_a_quote_is(text: str, quote: str, place: str | None) -> None:
    assert found(text, quote) == place


def test_whole_words_come_first() -> None:
    text = "a carpet and a car"
    assert QuotedText(text).find("car", own=0, after=0) == (15, 18)
    assert QuotedText("carpet").find("car", own=0, after=0) == (0, 3)
    assert QuotedText("item 1. item 10.").find("item 1.", own=8, after=8) is None


def test_the_place_after_the_one_before_is_taken() -> None:
    text = QuotedText("a cup, a cup, a cup")
    assert text.find("a cup", own=0, after=0) == (0, 5)
    assert text.find("a cup", own=0, after=3) == (7, 12)
    assert text.find("a cup", own=0, after=15) == (0, 5)


def test_only_places_that_reach_beyond_the_lead_count() -> None:
    text = QuotedText("a cup. A cup.")
    assert text.find("a cup", own=7, after=7) == (7, 12), "alike in the own part comes before exact in the lead"
    assert QuotedText("a cup. A dog.").find("a cup", own=7, after=7) is None
    assert QuotedText("a cup. A dog.").holds("a cup")
    assert QuotedText("a cup. A dog.").find("cup. A dog", own=7, after=7) == (2, 12)


@given(text=TEXTS, quote=TEXTS, own=st.integers(0, 130), after=st.integers(0, 130))
def test_what_is_found_reads_like_the_quote(text: str, quote: str, own: int, after: int) -> None:
    place = QuotedText(text).find(quote, own=own, after=after)
    if place is not None:
        start, end = place
        assert own < end <= len(text)
        assert start < end
        assert folded(quote).strip(" .,;:!?…\"'*_-") in folded(text[start:end]) or quote.strip() == text[start:end]


@given(text=TEXTS, ends=st.tuples(st.integers(0, 120), st.integers(0, 120)))
def test_every_stretch_of_a_text_is_found_in_it(text: str, ends: tuple[int, int]) -> None:
    stretch = text[min(ends) : max(ends)]
    if any(unicodedata.category(character)[0] in "LNS" for character in stretch):
        assert found(text, stretch) == stretch.strip()
