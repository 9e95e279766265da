"""Whatever the text: no exception, nothing cut, exact places, the same result however it is asked for."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bench.decomposer_quality import load
from rlaifv.adapters.grammar import Decomposition, GrammarDecomposer

ANSWERS = [case.answer for name in ("core", "photos") for case in load(name)]
MARKS = (
    "**",
    "# ",
    "- ",
    "| a | b |\n",
    "```",
    "\r\n",
    "\n\n",
    "<image>",
    "<|im_end|>",
    "&amp;",
    "&#x41;",
    "🐶",
    "“",
    "’",
)
ODDITIES = (
    "\ud800",
    "\x00",
    "\u200b",
    "é",
    "日本",
    "1.",
    "?",
    "!",
    "...",
    "'",
    '"',
    "(",
    "[x](y)",
    "\t",
    "\x85",
    " ",
    "|",
)
PIECES = st.sampled_from((*ANSWERS[:60], *MARKS, *ODDITIES))
relaxed = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def check(answer: str, found: Decomposition) -> None:
    """What must hold for every decomposition."""
    spans = [(c.start, c.end) for c in found.claims]
    assert spans == sorted(spans)
    assert all(0 <= start < end <= len(answer) for start, end in spans)
    assert all(0 <= s.start < s.end <= len(answer) for s in found.skipped)
    assert [s.start for s in found.skipped] == sorted(s.start for s in found.skipped)
    assert len({c.text for c in found.claims}) == len(found.claims)
    assert all(c.text.endswith(".") and c.question.endswith("?") for c in found.claims)
    assert found.duplicates >= 0


@relaxed
@given(st.text(st.characters(codec=None), max_size=300))
@example("\ud800\udfff")
@example("There is a car\ud83d.")
@example("There is a car." + "\x00" * 50)
def test_any_text_is_divided_without_raising(decomposer: GrammarDecomposer, answer: str) -> None:
    check(answer, decomposer.decompose(answer))


@relaxed
@given(st.lists(PIECES, max_size=12).map("".join))
def test_places_are_exact_in_any_mixture(decomposer: GrammarDecomposer, answer: str) -> None:
    check(answer, decomposer.decompose(answer))


SALAD = [
    "a",
    "the",
    "of",
    "man",
    "dog",
    "red",
    "and",
    "or",
    "no",
    "not",
    "is",
    "are",
    "has",
    "its",
    "his",
    "their",
    "with",
    "on",
    "in",
    "who",
    "that",
    "which",
    "one",
    "some",
    "two",
    "several",
    "cup",
    "group",
    "picture",
    "I",
    "we",
    "see",
    "shows",
    "there",
    "'",
    '"',
    ",",
    ";",
    ":",
    "-",
    "'STOP'",
    "says",
    "words",
    "reading",
    "to",
    "running",
    "sits",
    "orange",
    "black",
    "white",
    "each",
    "both",
    "all",
    "neither",
    "nor",
    "as",
    "such",
    "like",
    "left",
    "right",
    "top",
    "corner",
    "it",
    "they",
    "he",
    "may",
    "seems",
    "very",
    "was",
    "being",
    "parked",
    "by",
    "for",
    "from",
    "up",
    "at",
    "'s",
]


@pytest.mark.parametrize("seed", range(6))
def test_word_salad_is_survived(decomposer: GrammarDecomposer, seed: int) -> None:
    rng = random.Random(seed)
    answers = [" ".join(rng.choices(SALAD, k=rng.choice([3, 6, 12, 25, 90]))) for _ in range(50)]
    for answer, found in zip(answers, decomposer.decompose_many(answers), strict=True):
        check(answer, found)


@pytest.mark.parametrize(
    "unit", ["a man of ", "its ", "the dog's ", "who is ", "that the dog ", "a dog with a ", "no ", "says 'a' "]
)
def test_deep_nesting_is_survived(decomposer: GrammarDecomposer, unit: str) -> None:
    check(unit * 150, decomposer.decompose(unit * 150))


@pytest.mark.parametrize(
    "answer",
    [
        "",
        " \n\t ",
        "a" * 100_000,
        "(" * 100_000,
        "' " * 50_000,
        '"' * 50_001,
        "*" * 100_000,
        "<" * 100_000,
        "[" * 50_000 + "]" * 50_000,
        "|" * 100_000,
        "#" * 100_000,
        ". " * 50_000,
        "&" * 100_000,
        "- " * 50_000,
        "red " * 25_000,
        "and " * 25_000,
        "\n" * 100_000,
        "```\n" * 25_000,
        "👩‍👩‍👧" * 12_000,
        "".join(random.Random(0).choices("".join(map(chr, range(32, 0x2FFF))), k=100_000)),
    ],
    ids=lambda answer: repr(answer[:6]),
)
def test_garbage_of_100_kb_is_survived_in_seconds(decomposer: GrammarDecomposer, answer: str) -> None:
    started = time.perf_counter()
    check(answer, decomposer.decompose(answer))
    assert time.perf_counter() - started < 60


def test_a_long_answer_gives_the_claims_of_its_paragraphs(decomposer: GrammarDecomposer) -> None:
    paragraphs = [a for a in ANSWERS if "\n" not in a]
    rng = random.Random(1)
    chosen = [rng.choice(paragraphs) for _ in range(720)]
    answer = "\n\n".join(chosen)
    assert len(answer.split()) > 5_000
    started = time.perf_counter()
    whole = decomposer.decompose(answer)
    assert time.perf_counter() - started < 30
    expected: dict[str, tuple[int, int]] = {}
    offset = 0
    for paragraph in chosen:
        for claim in decomposer.decompose(paragraph).claims:
            expected.setdefault(claim.text, (claim.start + offset, claim.end + offset))
        offset += len(paragraph) + 2
    assert {c.text: (c.start, c.end) for c in whole.claims} == expected
    check(answer, whole)


def test_many_at_once_equals_one_by_one() -> None:
    together = GrammarDecomposer().decompose_many(ANSWERS)
    alone = GrammarDecomposer(remembered=1)
    assert together == [alone.decompose(answer) for answer in ANSWERS]


def test_memory_does_not_change_the_result(decomposer: GrammarDecomposer) -> None:
    assert decomposer.decompose_many(ANSWERS * 2)[: len(ANSWERS)] == decomposer.decompose_many(ANSWERS)


def test_threads_take_turns(decomposer: GrammarDecomposer) -> None:
    expected = [decomposer.decompose(answer) for answer in ANSWERS]
    fresh = GrammarDecomposer()
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(fresh.decompose, ANSWERS)) == expected


def test_the_version_names_grammar_spacy_and_model(decomposer: GrammarDecomposer) -> None:
    grammar, spacy, model = decomposer.version.split("+")
    assert grammar.startswith("grammar/")
    assert spacy.startswith("spacy-3.8")
    assert model.startswith("en_core_web_sm-3.8")


def test_the_core_does_not_load_spacy() -> None:
    code = "import sys, rlaifv.core.claims, rlaifv.adapters.grammar; sys.exit('spacy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
