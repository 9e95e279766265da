"""The layers below the grammar: passages, sentences, language, word forms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaifv.adapters.grammar.inflection import article, ing, looks_plural, third_person
from rlaifv.adapters.grammar.language import looks_english
from rlaifv.adapters.grammar.lexicon.nouns import singular
from rlaifv.adapters.grammar.markup import passages
from rlaifv.adapters.grammar.sentences import MAX_SENTENCE, sentences


def split(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("one line\nof prose", ["one line of prose"]),
        ("one line\nAnother line", ["one line", "Another line"]),
        ("a\n\nb", ["a", "b"]),
        ("- a\n- b", ["a", "b"]),
        ("> quoted\n> text", ["quoted text"]),
        ("# Head\ntext", ["Head", "text"]),
        ("| a | b |\n|---|---|\n| c | d |", ["a", "b", "c", "d"]),
        ("x\n---\ny", ["x", "y"]),
        ("  many   spaces\t ", ["many spaces"]),
        ("snake_case stays", ["snake_case stays"]),
        ("```js\nlet x;\n```\nafter", ["after"]),
        ("```js\nnever closed", ["never closed"]),
        ("&lt;b&gt; &unknown; &amp;", ["<b> &unknown; &"]),
        ("", []),
    ],
)
def test_passages(answer: str, expected: list[str]) -> None:
    assert [p.text for p in passages(answer)] == expected


@given(st.text(max_size=200))
def test_every_character_knows_its_origin(answer: str) -> None:
    last = 0
    for passage in passages(answer):
        assert len(passage.text) == len(passage.starts) == len(passage.ends)
        assert all(start < end for start, end in zip(passage.starts, passage.ends, strict=True))
        assert last <= passage.starts[0]
        assert list(passage.starts) == sorted(passage.starts)
        last = passage.starts[-1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A dog. A cat.", ["A dog.", "A cat."]),
        ("Mr. Smith is 1.8 m tall. He sits.", ["Mr. Smith is 1.8 m tall.", "He sits."]),
        ("Fruit, e.g. apples, is there.", ["Fruit, e.g. apples, is there."]),
        ("It says 'Stop!' on the wall.", ["It says 'Stop!' on the wall."]),
        ("A dog.The cat", ["A dog.", "The cat"]),
        ("A dog; a cat", ["A dog;", "a cat"]),
        ("狗。猫。", ["狗。", "猫。"]),
        ("Background: a wall", ["Background:", "a wall"]),
        ("There are two fruits: an apple.", ["There are two fruits: an apple."]),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert split(text) == expected


@given(st.text(alphabet="aB .,!?;:'\"\n", max_size=1500))
def test_sentences_hold_every_word(text: str) -> None:
    pieces = split(text)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert all(0 < len(p) <= MAX_SENTENCE for p in pieces)


@pytest.mark.parametrize(
    "sentence", ["Red car", "A dog", "dog", "The Hund is here", "A café", "Two.", "blorps are here"]
)
def test_short_english_is_english(sentence: str) -> None:
    assert looks_english(sentence, {"red", "car", "dog"}.__contains__)


@pytest.mark.parametrize(
    "sentence", ["Le chat", "Es gibt zwei Hunde", "Hay un perro", "xyz qrs", "…", "犬", "Ci sono due gatti"]
)
def test_other_languages_are_not(sentence: str) -> None:
    assert not looks_english(sentence, {"red", "car", "dog"}.__contains__)


@pytest.mark.parametrize(
    "phrase",
    [
        "an apple",
        "a car",
        "an hour",
        "a unicorn",
        "a uniform",
        "an umbrella",
        "a one-way sign",
        "an SUV",
        "a European flag",
        "an X-ray",
        "a house",
        "a TV",
    ],
)
def test_articles(phrase: str) -> None:
    determiner, _, noun = phrase.partition(" ")
    assert article(noun) == determiner


@pytest.mark.parametrize(
    ("base", "participle"),
    [
        ("ride", "riding"), ("sit", "sitting"), ("lie", "lying"), ("see", "seeing"), ("play", "playing"), ("look", "looking"),
        ("eat", "eating"), ("carry", "carrying"), ("run", "running"), ("open", "opening"), ("ski", "skiing"),
    ],
)  # fmt: skip
def test_present_participles(base: str, participle: str) -> None:
    assert ing(base) == participle


@pytest.mark.parametrize(
    ("base", "third"), [("have", "has"), ("carry", "carries"), ("say", "says"), ("cross", "crosses"), ("hold", "holds")]
)
def test_third_persons(base: str, third: str) -> None:
    assert third_person(base) == third


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("dog", "dogs"), ("bus", "buses"), ("man", "men"), ("glass", "glasses"), ("city", "cities"), ("box", "boxes"),
        ("bench", "benches"), ("person", "people"), ("knife", "knives"),
    ],
)  # fmt: skip
def test_numbers(one: str, many: str) -> None:
    assert looks_plural(many)
    assert not looks_plural(one)
    assert many == "glasses" or singular(many) == one
