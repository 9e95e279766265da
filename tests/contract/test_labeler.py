"""What every Labeler does, whatever is behind it."""

from __future__ import annotations

import pytest

from rlaifv.core.errors import InvalidInput, TooLarge
from rlaifv.core.images import Image
from rlaifv.ports.services import Labeler, Questions
from tests.serving import collected, picture

ASKED = ("Is there a car?", "Is the dog red?", "Is there a car?", "¿Hay un coche? 🚗", "Is <image> there a </s> cup?")


async def test_verdicts_come_in_the_order_of_the_questions(labeler: Labeler) -> None:
    (outcome,) = (await collected(labeler.ask([Questions(id="a", image=picture(), questions=ASKED)]))).values()
    verdicts = outcome.unwrap()
    assert tuple(verdict.question for verdict in verdicts) == ASKED
    assert verdicts[0] == verdicts[2]
    assert len({verdict.labeler_version for verdict in verdicts}) == 1
    assert len(verdicts[0].labeler_version) == 64
    assert all(0 <= verdict.mass <= 1.000001 for verdict in verdicts)


async def test_a_verdict_does_not_depend_on_what_else_is_asked(labeler: Labeler) -> None:
    question = Questions(id="q", image=picture(), questions=("Is the dog red?",))
    alone = (await collected(labeler.ask([question])))["q"].unwrap()[0]
    others = [Questions(id=str(n), image=picture("blue", (10 + n, 9)), questions=ASKED) for n in range(3)]
    among = (await collected(labeler.ask([*others, question])))["q"].unwrap()[0]
    together = (await collected(labeler.ask([Questions(id="q", image=picture(), questions=ASKED)])))["q"].unwrap()[1]
    assert alone == among == together


@pytest.mark.parametrize(
    ("image", "error"),
    [(Image.of(b"no picture"), InvalidInput), (Image.of(b"\x89PNG" + b"0" * (21 * 2**20)), TooLarge)],
    ids=["no picture", "too large"],
)
async def test_a_bad_item_fails_alone(labeler: Labeler, image: Image, error: type[Exception]) -> None:
    good, bad = ("Is there a car?",), Questions(id="bad", image=image, questions=("Is there a car?",))
    items = [Questions(id="before", image=picture(), questions=good), bad]
    found = await collected(labeler.ask([*items, Questions(id="after", image=picture("blue"), questions=good)]))
    assert isinstance(found["bad"].error, error)
    assert len(found["before"].unwrap()) == len(found["after"].unwrap()) == 1
