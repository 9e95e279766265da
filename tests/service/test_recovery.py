"""A service that dies in the middle of a stream and comes back at the same address: every item is answered, once."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from rlaifv.adapters.fake.folders import write_checkpoint
from rlaifv.adapters.remote.connection import Patience
from rlaifv.adapters.remote.labeler import AnswerToScore, RemoteLabeler
from rlaifv.adapters.remote.policy import RemotePolicy
from rlaifv.adapters.remote.trainer import RemoteTrainer
from rlaifv.core.candidates import Prompt
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.errors import BackendFailed, InvalidInput, TooLarge, Unavailable
from rlaifv.core.images import Image
from rlaifv.core.training import TrainingJob, TrainingPhase
from rlaifv.ports.services import Generation, Questions
from services.decomposer.settings import DecomposerSettings
from services.labeler.settings import LabelerSettings
from services.policy.settings import PolicySettings
from services.trainer.settings import TrainerSettings
from tests.service.processes import process
from tests.serving import collected, eventually, picture, serving

LABELER = LabelerSettings(backend="fake", decomposer="fake", fake_latency_ms=5.0, drain_s=0, max_in_flight=4)


def at(settings: LabelerSettings, port: int) -> LabelerSettings:
    return settings.model_copy(update={"port": port})


async def test_items_without_an_answer_are_asked_again_and_the_others_not() -> None:
    items = [Questions(id=str(n), image=picture(size=(8 + n, 8)), questions=("Is it red?",)) for n in range(20)]
    found = {}
    async with serving(LABELER.model_copy(update={"fake_latency_ms": 60.0})) as server:
        port = server.port
        labeler = RemoteLabeler(server.target, patience_s=20)
        answers = labeler.ask(items)
        for _ in range(5):
            outcome = await anext(answers)
            found[outcome.item_id] = outcome
    await asyncio.sleep(0.2)
    async with serving(at(LABELER, port)) as server:
        async for outcome in answers:
            assert outcome.item_id not in found
            found[outcome.item_id] = outcome
        assert len(found) == 20
        assert all(outcome.error is None for outcome in found.values())
        asked = server.metrics.items.labels("AskQuestions", "OK")._value.get()
        assert 0 < asked <= 15
    await labeler.close()


async def test_a_service_that_was_killed_and_started_again_loses_nothing(tmp_path: Path) -> None:
    items = [Questions(id=str(n), image=picture(size=(8 + n, 8)), questions=("Is it red?",)) for n in range(12)]
    settings = {"backend": "fake", "decomposer": "fake", "fake_latency_ms": "50"}
    async with process(**settings, ports_file=str(tmp_path / "first")) as service:
        await eventually((tmp_path / "first").exists)
        port = json.loads((tmp_path / "first").read_text())["grpc"]
        labeler = RemoteLabeler(f"127.0.0.1:{port}", patience_s=60)
        answers = labeler.ask(items)
        found = [await anext(answers), await anext(answers)]
        service.kill()
        await service.wait()
    async with process(**settings, port=str(port)):
        found += [outcome async for outcome in answers]
    assert sorted(outcome.item_id for outcome in found) == sorted(item.id for item in items)
    assert all(outcome.error is None for outcome in found)
    await labeler.close()


async def test_patience_ends_with_words_on_what_to_do() -> None:
    async with serving(LABELER) as server:
        target = server.target
    labeler = RemoteLabeler(target, patience_s=0.3)
    with pytest.raises(Unavailable, match=rf"the labeler at {target} cannot be reached: is it running\?"):
        await collected(labeler.ask([Questions(id="a", image=picture(), questions=("Is it red?",))]))
    with pytest.raises(Unavailable, match="cannot be reached"):
        await labeler.versions()
    await labeler.close()


async def test_a_restarted_policy_is_told_again_what_to_serve(tmp_path: Path) -> None:
    trained = write_checkpoint(tmp_path / "trained", "trained")
    settings = PolicySettings(backend="fake", fake_latency_ms=90.0, drain_s=0, max_in_flight=2)
    items = [Generation(prompt=Prompt(id=str(n), image=picture(), text=str(n)), seeds=(1,)) for n in range(10)]
    async with serving(settings) as server:
        port = server.port
        policy = RemotePolicy(server.target, patience_s=20)
        await policy.load(trained)
        answers = policy.generate(items)
        found = [await anext(answers)]
    async with serving(settings.model_copy(update={"port": port})):
        found += [outcome async for outcome in answers]
        assert await policy.version() == trained.digest
    assert len(found) == 10
    assert {outcome.item_id for outcome in found} == {item.prompt.id for item in items}
    assert {outcome.unwrap()[0].policy_version for outcome in found} == {trained.digest}
    await policy.close()


async def test_a_restarted_trainer_is_given_its_job_again(tmp_path: Path) -> None:
    (tmp_path / "pairs").write_text("pairs")
    job = TrainingJob(
        id="job",
        policy=Checkpoint(uri="fake:", digest=""),
        pairs_uri=str(tmp_path / "pairs"),
        output_uri=str(tmp_path / "out"),
    )
    settings = TrainerSettings(backend="fake", fake_steps=5, fake_step_ms=20.0, drain_s=5)
    async with serving(settings) as server:
        port = server.port
        trainer = RemoteTrainer(server.target, patience_s=20)
        await trainer.start(job)
        reports = trainer.watch("job")
        first = await anext(reports)
    assert not first.over
    async with serving(settings.model_copy(update={"port": port})):
        phases = [progress.phase async for progress in reports]
    assert phases[-1] is TrainingPhase.DONE
    assert TrainingPhase.CANCELLED not in phases
    await trainer.close()


async def test_what_cannot_be_sent_fails_alone() -> None:
    good = Questions(id="good", image=picture(), questions=("Is it red?",))
    huge = replace(good, id="huge", image=Image.of(bytes(65 * 2**20)))
    surrogate = replace(good, id="surrogate", questions=("Is it \ud800?",))
    async with serving(LABELER) as server:
        labeler = RemoteLabeler(server.target, patience_s=1)
        found = await collected(labeler.ask([huge, good, surrogate]))
        assert isinstance(found["huge"].error, TooLarge)
        assert isinstance(found["surrogate"].error, InvalidInput)
        assert found["good"].error is None
        twice = [outcome async for outcome in labeler.ask([good, good])]
        assert sorted(type(outcome.error).__name__ for outcome in twice) == ["InvalidInput", "NoneType"]
        await labeler.close()


async def test_patience_pauses_longer_each_time_and_starts_anew_when_something_moves() -> None:
    patience = Patience(0.3)
    pauses = 0
    while pauses < 10:
        try:
            await patience.pause(BackendFailed("still away"))
        except BackendFailed:
            break
        pauses += 1
    assert 2 <= pauses <= 6
    patience.moved()
    await patience.pause(BackendFailed("away again"))


async def test_a_labeler_whose_decomposer_is_away_still_answers_questions() -> None:
    question = Questions(id="a", image=picture(), questions=("Is it red?",))
    answer = AnswerToScore(id="a", image=picture(), answer="There is a car.")
    async with serving(DecomposerSettings(backend="fake", drain_s=0)) as decomposer:
        settings = LABELER.model_copy(
            update={"decomposer": "remote", "decomposer_target": decomposer.target, "decomposer_patience_s": 0.2}
        )
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(serving(settings))
            labeler = RemoteLabeler(server.target, patience_s=0)
            stack.push_async_callback(labeler.close)
            scored = (await collected(labeler.score([answer])))["a"].unwrap()
            assert scored.decomposer_version == (await labeler.versions()).decomposer_version == "fake-sentences/1"
            await decomposer.stop()
            with pytest.raises(Unavailable, match=f"the decomposer at {decomposer.target}"):
                await collected(labeler.score([answer]))
            assert (await collected(labeler.ask([question])))["a"].error is None
