"""Dividing in a thread: batches, one bad answer alone, a full queue, and a close that leaves nobody waiting."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from rlaifv.adapters.fake import decomposer as fake
from rlaifv.adapters.local_decomposer import Divider, LocalDecomposer
from rlaifv.core.decomposition import Decomposition
from rlaifv.core.errors import BackendFailed, Overloaded, Unavailable
from rlaifv.ports.services import Answer
from tests.serving import collected


class Dividing:
    """Divides like the fake, notes its batches, and fails on texts that say so."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.go = threading.Event()
        self.go.set()

    def __call__(self, texts: Sequence[str]) -> list[Decomposition]:
        self.go.wait()
        self.batches.append(len(texts))
        if "bad" in texts:
            raise KeyError("bad")
        if "lost" in texts:
            return []
        return [fake.divide(text) for text in texts]


def answers(*texts: str) -> list[Answer]:
    return [Answer(id=f"{at} {text}", text=text) for at, text in enumerate(texts)]


async def test_what_waits_is_divided_together() -> None:
    dividing = Dividing()
    decomposer = LocalDecomposer(Divider(divide=dividing, version="v"))
    found = await collected(decomposer.decompose(answers(*["There is a car."] * 40)))
    assert len(found) == 40
    assert max(dividing.batches) > 1
    assert max(dividing.batches) <= 32
    assert decomposer.activity().waiting == 0
    await decomposer.close()


async def test_an_answer_that_breaks_the_parser_fails_alone() -> None:
    decomposer = LocalDecomposer(Divider(divide=Dividing(), version="v"))
    found = await collected(decomposer.decompose(answers("There is a car.", "bad", "lost", "There is a dog.")))
    failed = {item_id: type(outcome.error) for item_id, outcome in found.items() if outcome.error}
    assert failed == {"1 bad": BackendFailed, "2 lost": BackendFailed}
    await decomposer.close()


async def test_a_full_queue_is_overloaded_and_a_closed_one_unavailable() -> None:
    decomposer = LocalDecomposer(Divider(divide=Dividing(), version="v"), max_queue=2)
    found = await collected(decomposer.decompose(answers(*["There is a car."] * 5)))
    assert sum(isinstance(outcome.error, Overloaded) for outcome in found.values()) == 3
    await decomposer.close()
    (late,) = (await collected(decomposer.decompose(answers("There is a car.")))).values()
    assert isinstance(late.error, Unavailable)
