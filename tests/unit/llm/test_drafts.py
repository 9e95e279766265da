"""What becomes of a model's replies: nothing invented is taken, and no sentence goes missing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaifv.adapters.llm.drafts import Draft
from rlaifv.adapters.llm.replies import MalformedReply, parse
from rlaifv.adapters.llm.windows import windows
from rlaifv.core.decomposition import Decomposition, LeftOutReason, SkipReason
from tests.unit.llm.scripted_server import claim, skip

TEXTS = st.text(st.one_of(st.characters(), st.sampled_from("ab .!?\r\n🐕e\u0301👩‍👧")), min_size=1, max_size=120)


def draft(text: str, own: int = 0, bare_digits: bool = False) -> Draft:
    (window,) = windows(text, window_chars=10_000, overlap_chars=0)
    pieces = tuple((max(start, own), end) for start, end in window.pieces if end > own)
    return Draft(type(window)(text=text, offset=0, pieces=pieces), bare_digits=bare_digits)


def take(into: Draft, claims: Sequence[Any] = (), skipped: Sequence[Any] = ()) -> Draft:
    into.take(parse(json.dumps({"claims": list(claims), "skipped": list(skipped)})))
    return into


def left_out(found: Decomposition) -> dict[LeftOutReason, int]:
    return {entry.reason: entry.count for entry in found.left_out}


def test_claims_point_to_their_words_in_the_order_of_the_text() -> None:
    text = "A cat and a dog 🐕. A cat too."
    found = take(draft(text), [claim("a dog"), claim("A cat and")], [skip("A cat too.", "no_content")]).finish()
    assert [text[c.start : c.end] for c in found.claims] == ["A cat and", "a dog"]
    assert [(text[s.start : s.end], s.reason) for s in found.skipped] == [("A cat too.", SkipReason.NO_CONTENT)]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (claim("a horse"), LeftOutReason.QUOTE_NOT_FOUND),
        (claim("a cat", question="What is there?"), LeftOutReason.NOT_ONE_QUESTION),
        (claim("a cat", question=""), LeftOutReason.NOT_ONE_QUESTION),
        (claim("a cat", text="There is no cat."), LeftOutReason.DENIES_OTHERWISE),
        (claim("a cat", text=""), LeftOutReason.INCOMPLETE),
        (claim("a cat", kind="animal"), LeftOutReason.INCOMPLETE),
        (claim("a cat", text="A cat exists.", question="Is there a dog?"), LeftOutReason.SHARED_QUESTION),
        ("a cat", LeftOutReason.INCOMPLETE),
        ({"quote": 3}, LeftOutReason.INCOMPLETE),
    ],
)
def test_a_claim_that_breaks_a_rule_is_asked_again_and_then_left_out(broken: Any, reason: LeftOutReason) -> None:
    one = take(draft("There is a dog and a cat."), [claim("a dog"), broken])
    assert len(one.faults()) == 1
    found = take(one, [broken]).finish()
    assert [c.text for c in found.claims] == ["There is a dog."]
    assert left_out(found) == {reason: 1}


def test_a_claim_that_is_put_right_is_taken_and_one_that_is_not_mentioned_again_stays_out() -> None:
    one = take(draft("There is a dog and a cat."), [claim("a dog", question="?"), claim("a horse"), claim("a mouse")])
    assert len(one.faults()) == 3
    found = take(one, [claim("a dog"), claim("a cat", text="There is a horse.")]).finish()
    assert {c.text for c in found.claims} == {"There is a dog.", "There is a horse."}
    assert left_out(found) == {LeftOutReason.QUOTE_NOT_FOUND: 1}


def test_a_broken_claim_may_become_skipped() -> None:
    one = take(draft("There is a cosy dog."), [claim("a cosy dog", question="Why?")])
    found = take(one, skipped=[skip("a cosy dog")]).finish()
    assert left_out(found) == {}
    assert [s.reason for s in found.skipped] == [SkipReason.OPINION]


def test_repeated_claims_are_counted_once_for_each_repetition_by_the_answer() -> None:
    one = take(draft("A dog. A dog. A cat."), [claim("A dog"), claim("A dog"), claim("a cat", question="Why?")])
    assert len(one.faults()) == 1
    found = take(one, [claim("A dog"), claim("a cat")]).finish()
    assert len(found.claims) == 2
    assert found.duplicates == 1
    assert found.skipped == ()


def test_a_sentence_written_again_need_not_be_listed_again() -> None:
    one = take(draft("A dog. A cosy place! A dog. A dog. A cosy place!"), [claim("A dog.")], [skip("a cosy place")])
    assert one.faults() == []
    assert len(one.finish().skipped) == 2


def test_sentences_without_a_word_about_them_are_asked_about_and_then_unread() -> None:
    text = "A dog. Hello there! --- 5."
    one = take(draft(text), [claim("A dog")])
    assert [fault.about for fault in one.faults()] == ["Hello there!"]
    found = take(one).finish()
    assert [(text[s.start : s.end], s.reason) for s in found.skipped] == [
        ("Hello there!", SkipReason.UNREAD),
        ("--- 5.", SkipReason.NO_CONTENT),
    ]


def test_a_bare_number_is_only_worth_a_question_where_one_was_asked() -> None:
    assert draft("3", bare_digits=True).has_content
    assert not draft("3").has_content
    assert not draft("👍 ...", bare_digits=True).has_content


def test_words_of_the_lead_belong_to_the_window_before() -> None:
    text = "A dog. It is red."
    found = take(
        draft(text, own=7), [claim("A dog"), claim("It is red", "The dog is red.", "Is the dog red?")]
    ).finish()
    assert [c.text for c in found.claims] == ["The dog is red."]
    assert left_out(found) == {}
    assert found.skipped == ()


def test_a_stretch_that_gave_a_claim_is_not_skipped_as_well() -> None:
    found = take(draft("A cosy dog."), [claim("dog")], [skip("A cosy dog."), skip("cosy")]).finish()
    assert found.skipped == ()


@pytest.mark.parametrize(
    "content", ["", "no", "[]", "{", '{"a": 1}', '{"claims": 3}', "{" * 100_000, "1" * 5000 + "{x"]
)
def test_what_is_no_reply_is_malformed(content: str) -> None:
    with pytest.raises(MalformedReply):
        parse(content)


@pytest.mark.parametrize(
    "content", ['{"claims": []}', '```json\n{"skipped": []}\n```', '<think>{"claims": 1}</think>{"claims": []} Done.']
)
def test_a_reply_is_found_among_other_words(content: str) -> None:
    assert parse(content).claims == ()


PROPOSED = st.fixed_dictionaries(
    {
        "quote": TEXTS,
        "text": st.sampled_from(["There is a dog.", "There is no dog.", "", "A cat sits."]),
        "type": st.sampled_from(["object", "count", "x"]),
        "question": st.sampled_from(["Is there a dog?", "Is it true that there is no dog?", "Why?", "Does a cat sit?"]),
    }
)


@given(
    text=TEXTS,
    own=st.integers(0, 60),
    stretches=st.lists(st.tuples(st.integers(0, 120), st.integers(0, 120)), max_size=6),
    strangers=st.lists(PROPOSED, max_size=3),
    kinds=st.randoms(use_true_random=False),
)
def test_whatever_is_proposed_every_place_is_right_and_every_sentence_has_an_end(
    text: str, own: int, stretches: list[tuple[int, int]], strangers: list[dict[str, Any]], kinds: Any
) -> None:
    own = min(own, len(text) - 1)
    quotes = [text[min(pair) : max(pair)] for pair in stretches]
    claims = [*strangers, *(claim(q, f"Claim {n}.", f"Is it {n}?") for n, q in enumerate(quotes))]
    kinds.shuffle(claims)
    one = draft(text, own)
    for _ in range(2):
        take(one, claims, [skip(q, kinds.choice(["opinion", "hedge", "?"])) for q in quotes[::2]])
    found = one.finish()
    for claimed in found.claims:
        assert own < claimed.end <= len(text)
        assert 0 <= claimed.start < claimed.end
    assert all(own <= skipped.start < skipped.end <= len(text) for skipped in found.skipped)
    assert all(one.end <= other.start for one, other in pairwise(found.skipped)), "no stretch is skipped twice"
    spoken = [*((c.start, c.end) for c in found.claims), *((s.start, s.end) for s in found.skipped)]
    for start, end in (piece for w in windows(text, window_chars=10_000, overlap_chars=0) for piece in w.pieces):
        if end > own and any(c.isalpha() for c in text[max(start, own) : end]) and not found.left_out:
            assert any(a < end and start < b for a, b in spoken)
