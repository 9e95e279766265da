"""The public client: pictures in every shape, answers as records, errors as ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image as PilImage

from rlaifv.client import AsyncLabeler, Labeler, read_image
from rlaifv.core.errors import DeadlineExceeded, InvalidInput, NotFound, TooLarge, Unavailable
from rlaifv.core.images import Image
from rlaifv.core.verdicts import Decision
from services.labeler.settings import LabelerSettings
from tests.serving import picture, serving

ANSWER = "There is a red car. There is a dog."


@pytest.fixture
async def target() -> AsyncIterator[str]:
    async with serving(LabelerSettings(backend="fake", decomposer="fake")) as server:
        yield server.target


def test_a_picture_may_come_in_every_shape(tmp_path: Path) -> None:
    data = picture().data
    path = tmp_path / "a.png"
    path.write_bytes(data)
    for image in (data, path, str(path), Image.of(data)):
        assert read_image(image) == picture()
    assert read_image(PilImage.new("RGB", (24, 18), "red")) == picture()
    assert read_image("https://example.org/a.png").uri == "https://example.org/a.png"
    with pytest.raises(NotFound, match=r"no\.png"):
        read_image(tmp_path / "no.png")
    with pytest.raises(InvalidInput, match="0 bytes"):
        read_image(b"")
    with pytest.raises(InvalidInput, match="must be a path"):
        read_image(5)  # type: ignore[arg-type]


async def test_both_clients_say_the_same(target: str) -> None:
    def ask_all() -> tuple[object, ...]:
        with Labeler(target) as labeler:
            return (
                labeler.score(picture(), ANSWER),
                labeler.rank(picture(), [ANSWER, "There is a cup."], prompt="What is it?"),
                labeler.ask(picture(), ["Is it red?", "Is it red?"]),
            )

    blocking = await asyncio.to_thread(ask_all)
    async with AsyncLabeler(target) as labeler:
        scored = await labeler.score(picture(), ANSWER)
        ranked = await labeler.rank(picture(), [ANSWER, "There is a cup."], prompt="What is it?")
        verdicts = await labeler.ask(picture(), ["Is it red?", "Is it red?"])
    assert blocking == (scored, ranked, verdicts)
    assert [ANSWER[judged.claim.start : judged.claim.end] for judged in scored.claims] == [
        "There is a red car.",
        "There is a dog.",
    ]
    assert scored.score == -sum(judged.decision is Decision.REJECTED for judged in scored.claims)
    assert sorted(answer.index for answer in ranked) == [0, 1]
    assert len(verdicts) == 2


async def test_errors_are_ours_in_both(target: str) -> None:
    def wrong() -> None:
        with Labeler(target) as labeler:
            with pytest.raises(InvalidInput, match="answer = ''"):
                labeler.score(picture(), "")
            with pytest.raises(InvalidInput, match="2 to 256"):
                labeler.rank(picture(), ["one"])
            with pytest.raises(TooLarge, match="image has"):
                labeler.ask(bytes(30 * 2**20), ["Is it red?"])
        with Labeler("127.0.0.1:1") as nobody, pytest.raises(Unavailable, match=r"127\.0\.0\.1:1 cannot be reached"):
            nobody.score(picture(), ANSWER)

    await asyncio.to_thread(wrong)
    async with AsyncLabeler(target) as labeler:
        with pytest.raises(InvalidInput, match="answer = ''"):
            await labeler.score(picture(), "")
        with pytest.raises(InvalidInput, match="2 to 256"):
            await labeler.rank(picture(), ["one"])
    async with AsyncLabeler("127.0.0.1:1") as nobody:
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1 cannot be reached"):
            await nobody.score(picture(), ANSWER)


async def test_time_runs_out() -> None:
    settings = LabelerSettings(backend="fake", decomposer="fake", fake_latency_ms=60_000)
    async with serving(settings) as server:

        def wait() -> None:
            with Labeler(server.target, timeout_s=0.2) as labeler, pytest.raises(DeadlineExceeded, match="in time"):
                labeler.score(picture(), ANSWER)

        await asyncio.to_thread(wait)
