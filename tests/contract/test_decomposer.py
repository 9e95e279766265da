"""What every Decomposer does, whatever is behind it."""

from __future__ import annotations

from rlaifv.ports.services import Answer, Decomposer
from tests.serving import collected

TEXT = "There is a red car. There are two dogs 🐕 on the left."


async def test_claims_point_into_the_answer(decomposer: Decomposer) -> None:
    found = (await collected(decomposer.decompose([Answer(id="a", text=TEXT)])))["a"].unwrap()
    assert found.claims
    assert found.version
    for claim in found.claims:
        assert 0 <= claim.start < claim.end <= len(TEXT)
        assert claim.question.endswith("?")
        assert claim.text


async def test_an_answer_is_divided_the_same_among_others(decomposer: Decomposer) -> None:
    alone = (await collected(decomposer.decompose([Answer(id="a", text=TEXT)])))["a"].unwrap()
    others = [Answer(id=str(n), text=f"There are {n} cups. " * n) for n in range(2, 9)]
    assert (await collected(decomposer.decompose([*others, Answer(id="a", text=TEXT)])))["a"].unwrap() == alone


async def test_an_answer_without_anything_to_check_has_no_claim(decomposer: Decomposer) -> None:
    found = await collected(decomposer.decompose([Answer(id="a", text="... 123 !!!"), Answer(id="b", text=TEXT)]))
    assert found["a"].unwrap().claims == ()
    assert found["a"].unwrap().skipped
    assert found["b"].unwrap().claims


async def test_long_and_foreign_answers_are_taken_whole(decomposer: Decomposer) -> None:
    long = "There is a red car. " * 5000 + "There is a blue cup."
    answers = [Answer(id="long", text=long), Answer(id="foreign", text="写真には赤い車があります。")]
    found = await collected(decomposer.decompose(answers))
    assert any("cup" in claim.text for claim in found["long"].unwrap().claims)
    assert found["foreign"].error is None
