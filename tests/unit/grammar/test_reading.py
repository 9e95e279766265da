"""What single constructions mean, with place and reason."""

from __future__ import annotations

import pytest

from rlaifv.adapters.grammar import GrammarDecomposer, SkipReason
from rlaifv.core.claims import ClaimType


def divided(decomposer: GrammarDecomposer, answer: str) -> list[tuple[str, str]]:
    return [(c.text, answer[c.start : c.end]) for c in decomposer.decompose(answer).claims]


def texts(decomposer: GrammarDecomposer, answer: str) -> set[str]:
    return {c.text for c in decomposer.decompose(answer).claims}


def reasons(decomposer: GrammarDecomposer, answer: str) -> list[tuple[str, SkipReason]]:
    return [(answer[s.start : s.end], s.reason) for s in decomposer.decompose(answer).skipped]


@pytest.mark.parametrize(
    ("answer", "question"),
    [
        ("There is a car.", "Is there a car?"),
        ("There are dogs.", "Are there dogs?"),
        ("There is water.", "Is there water?"),
        ("There is an umbrella.", "Is there an umbrella?"),
        ("There is one apple.", "Is there one apple?"),
        ("There are two apples.", "Are there two apples?"),
        ("The car is red.", "Is the car red?"),
        ("The apples are green.", "Are the apples green?"),
        ("The cat is on the mat.", "Is the cat on the mat?"),
        ("The man is riding a horse.", "Is the man riding a horse?"),
        ("The dogs are running.", "Are the dogs running?"),
        ("The sign says 'STOP'.", "Does the sign say 'STOP'?"),
        ("The houses have chimneys.", "Do the houses have chimneys?"),
        ("There is no car.", "Is it true that there is no car?"),
        ("The car is not red.", "Is it true that the car is not red?"),
        ("The man does not have a hat.", "Is it true that the man does not have a hat?"),
    ],
)
def test_a_canonical_claim_stays_as_it_is(decomposer: GrammarDecomposer, answer: str, question: str) -> None:
    assert (answer, question) in [(c.text, c.question) for c in decomposer.decompose(answer).claims]


def test_types(decomposer: GrammarDecomposer) -> None:
    answer = "Two red birds are on the roof. A bird is singing. The sign says 'Inn'."
    assert {c.type for c in decomposer.decompose(answer).claims} == set(ClaimType) - {ClaimType.OTHER}


@pytest.mark.parametrize(
    ("answer", "claim", "wording"),
    [
        ("A dog lies on the grass. It is brown.", "The dog is brown.", "It is brown"),
        ("A boy is here. He holds a kite.", "The boy is holding a kite.", "He holds a kite"),
        ("A man and a woman walk. She wears a hat.", "The woman is wearing a hat.", "She wears a hat"),
        ("Two cats sleep. They are black.", "The cats are black.", "They are black"),
        ("A cat sleeps. Its tail is long.", "The cat's tail is long.", "Its tail is long"),
        ("There is a table with a vase on it.", "The vase is on the table.", "a vase on it"),
        ("Two dogs run. Both are wet.", "Both dogs are wet.", "Both are wet"),
        ("The man's hat is green. It is wet.", "The man's hat is wet.", "It is wet"),
        ("A cat has a bell around its neck.", "The bell is around the cat's neck.", "a bell around its neck"),
        ("A dog is on a mat.\n\nIt is wet.", "The dog is wet.", "It is wet"),
    ],
)
def test_pronouns_are_carried_to_their_noun(
    decomposer: GrammarDecomposer, answer: str, claim: str, wording: str
) -> None:
    assert (claim, wording) in divided(decomposer, answer)


def test_a_pronoun_for_nothing_gives_no_claim(decomposer: GrammarDecomposer) -> None:
    assert texts(decomposer, "It is red. He is running. They are tall.") == set()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("There are no dogs or cats.", {"There are no dogs.", "There are no cats."}),
        ("There is neither a dog nor a cat.", {"There is no dog.", "There is no cat."}),
        ("I do not see a car.", {"There is no car."}),
        ("There is no red car on the left.", {"There is no red car on the left."}),
        ("There are no people in the image.", {"There are no people."}),
        ("The man isn't wearing a hat.", {"There is a man.", "The man is not wearing a hat."}),
    ],
)
def test_denials_keep_their_meaning(decomposer: GrammarDecomposer, answer: str, expected: set[str]) -> None:
    assert texts(decomposer, answer) == expected


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("The atmosphere is cozy.", SkipReason.OPINION),
        ("The flowers add charm to the room.", SkipReason.OPINION),
        ("The soft light creates a sense of calm.", SkipReason.OPINION),
        ("There might be a dog.", SkipReason.HEDGE),
        ("It appears to be raining.", SkipReason.HEDGE),
        ("The dog is probably asleep.", SkipReason.HEDGE),
        ("The setting suggests that it is a market.", SkipReason.HEDGE),
        ("It could be a museum.", SkipReason.HEDGE),
        ("It looks like a dog is sleeping.", SkipReason.HEDGE),
        ("Is there a dog?", SkipReason.QUESTION),
        ("Le chien est dans la maison.", SkipReason.NOT_ENGLISH),
        ("Un perro rojo está en la mesa.", SkipReason.NOT_ENGLISH),
        ("Der Hund ist auf dem Tisch.", SkipReason.NOT_ENGLISH),
        ("红色的车在左边。", SkipReason.NOT_ENGLISH),
        ("В центре собака.", SkipReason.NOT_ENGLISH),
        ("qwrt zxcv bnmk", SkipReason.NOT_ENGLISH),
        ("Sure!", SkipReason.NO_CONTENT),
        ("Yes.", SkipReason.NO_CONTENT),
        ("Two.", SkipReason.NO_CONTENT),
        ("Red.", SkipReason.NO_CONTENT),
        ("42", SkipReason.NO_CONTENT),
        ("I'm sorry, I can't help with that.", SkipReason.NO_CONTENT),
    ],
)
def test_sentences_without_claims_say_why(decomposer: GrammarDecomposer, answer: str, reason: SkipReason) -> None:
    assert divided(decomposer, answer) == []
    assert reasons(decomposer, answer) == [(answer, reason)]


def test_only_the_unsure_part_is_left_out(decomposer: GrammarDecomposer) -> None:
    answer = "A beautiful dog with a red collar seems to be waiting. There is a car, and it might be old."
    assert texts(decomposer, answer) == {
        "There is a dog.",
        "There is a collar.",
        "The collar is red.",
        "The dog has a collar.",
        "There is a car.",
    }


def test_the_picture_and_its_viewer_are_no_things(decomposer: GrammarDecomposer) -> None:
    answer = "In this picture, I can see a cat. The image shows a dog. This is a photo of two birds. We see a tree."
    assert texts(decomposer, answer) == {
        "There is a cat.",
        "There is a dog.",
        "There are birds.",
        "There are two birds.",
        "There is a tree.",
    }


def test_duplicates_are_counted_and_the_first_kept(decomposer: GrammarDecomposer) -> None:
    found = decomposer.decompose("There is a red car. There is a red car. A red car is here.")
    assert [(c.text, c.start) for c in found.claims] == [("There is a car.", 9), ("The car is red.", 11)]
    assert found.duplicates == 4


def test_naming_a_known_thing_again_is_no_duplicate(decomposer: GrammarDecomposer) -> None:
    found = decomposer.decompose("There is a coffee table. The table is round.")
    assert [c.text for c in found.claims] == ["There is a coffee table.", "The table is round."]
    assert found.duplicates == 0


MARKDOWN = """## A red car

**Objects** in the picture:
- Two `dogs`
* a [cat](http://example.org/cat_photo)
1. An _old_ tree

| thing | where |
|-------|-------|
| a bird | a tall fence |

```python
bus = "There is a bus."
```
A boat &amp; a&nbsp;kite.<|im_end|>"""


def test_markup_is_not_read(decomposer: GrammarDecomposer) -> None:
    objects = {c.text for c in decomposer.decompose(MARKDOWN).claims if c.type is ClaimType.OBJECT}
    assert objects == {
        "There is a car.",
        "There are dogs.",
        "There is a cat.",
        "There is a tree.",
        "There is a bird.",
        "There is a fence.",
        "There is a boat.",
        "There is a kite.",
    }


@pytest.mark.parametrize(
    ("answer", "wording"),
    [
        ("A **red** _car_.", "red** _car"),
        ("🐶🐶 A red <image>car.", "red <image>car"),
        ("Il y a un chien.\r\nA red\r\ncar.", "red\r\ncar"),
        ("👩‍👩‍👧 “A red car” is here.", "red car"),
        ("A red&nbsp;car &lt;here&gt;.", "red&nbsp;car"),
    ],
)
def test_places_are_exact_through_markup(decomposer: GrammarDecomposer, answer: str, wording: str) -> None:
    assert ("The car is red.", wording) in divided(decomposer, answer)


@pytest.mark.parametrize(
    "answer",
    [
        "<image>\nThere is a dog.",
        "ASSISTANT: There is a dog.</s>",
        "<|im_start|>There is a dog.<|im_end|>",
        "[INST] There is a dog. [/INST]",
        '"There is a dog."',
        "THERE IS A DOG.",
        "there is a dog",
        "There's a dog!",
        "Yes, there is a dog.",
        "&quot;There is a dog.&quot;",
        "- Dog",
        "```\nThere is a dog.\n```",
    ],
)
def test_wrappings_do_not_matter(decomposer: GrammarDecomposer, answer: str) -> None:
    assert texts(decomposer, answer) == {"There is a dog."}
