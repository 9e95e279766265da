"""Services that fail, forget and change their weights while they are asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from rlaifv.adapters.fake.folders import BUILT_IN, write_checkpoint
from rlaifv.core.candidates import Candidate, Prompt
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.errors import BackendFailed, Cancelled, Conflict, InvalidInput, RlaifvError, Unavailable
from rlaifv.core.images import Image
from rlaifv.core.outcomes import Outcome
from rlaifv.ports.services import Generation
from services.orchestrator.asking import PolicyKeeper, ask_all, at_once
from tests.unit.orchestrator.scripted_world import ScriptedPolicy


class Flaky:
    """Answers as told: an error instead of an item's outcome, or one that ends the stream."""

    def __init__(self, *script: RlaifvError | None) -> None:
        self.script = list(script)
        self.asked: list[list[str]] = []

    async def ask(self, items: Sequence[str]) -> AsyncIterator[Outcome[str]]:
        self.asked.append(list(items))
        for item in items:
            trouble = self.script.pop(0) if self.script else None
            if isinstance(trouble, Conflict):
                raise Unavailable("the stream broke")
            yield Outcome(item_id=item, value=item.upper()) if trouble is None else Outcome(item_id=item, error=trouble)


async def everything(flaky: Flaky, patience_s: float = 5.0) -> dict[str, object]:
    items = {name: name for name in "abc"}
    return {
        outcome.item_id: outcome.value or outcome.error
        async for outcome in ask_all(flaky.ask, items, patience_s=patience_s)
    }


async def test_what_passes_is_asked_again_and_nothing_else() -> None:
    flaky = Flaky(None, Unavailable("later"), None, Cancelled("draining"))
    assert await everything(flaky) == {"a": "A", "b": "B", "c": "C"}
    assert flaky.asked == [["a", "b", "c"], ["b"], ["b"]]


async def test_a_broken_stream_goes_on_with_the_rest() -> None:
    flaky = Flaky(None, Conflict("break"))
    assert await everything(flaky) == {"a": "A", "b": "B", "c": "C"}
    assert flaky.asked == [["a", "b", "c"], ["b", "c"]]


async def test_an_items_own_fault_is_its_outcome() -> None:
    fault = InvalidInput("no picture")
    assert await everything(Flaky(None, fault)) == {"a": "A", "b": fault, "c": "C"}


async def test_patience_ends() -> None:
    flaky = Flaky(*[Unavailable("the labeler is down")] * 99)
    with pytest.raises(Unavailable, match="the labeler is down"):
        await everything(flaky, patience_s=0.05)


async def test_a_service_that_leaves_items_out_is_at_fault() -> None:
    async def nothing(items: Sequence[str]) -> AsyncIterator[Outcome[str]]:
        return
        yield

    with pytest.raises(BackendFailed, match=r"left 1 item\(s\) without an outcome"):
        async for _ in ask_all(nothing, {"a": "a"}, patience_s=0.05):
            pass


class Restarting(ScriptedPolicy):
    """After its first answer it forgets what it was told to load, as a process that was killed."""

    async def generate(self, items: Sequence[Generation]) -> AsyncIterator[Outcome[tuple[Candidate, ...]]]:
        async for outcome in super().generate(items):
            yield outcome
            if sum(self.generated.values()) == 1:
                await self.load(Checkpoint(uri=BUILT_IN, digest=""))


async def test_answers_of_other_weights_are_never_taken(tmp_path: Path) -> None:
    trained = write_checkpoint(tmp_path / "model", "trained")
    policy = Restarting()
    keeper = PolicyKeeper(policy, patience_s=5.0)
    items = [
        Generation(prompt=Prompt(id=name, image=Image.of(name.encode()), text="?"), seeds=(1,))
        for name in ("a", "b", "c")
    ]
    outcomes = [outcome async for outcome in keeper.answer(trained, items)]
    assert sorted(outcome.item_id for outcome in outcomes) == ["a", "b", "c"]
    assert {c.policy_version for outcome in outcomes for c in outcome.unwrap()} == {trained.digest}
    assert policy.loads == [trained.uri, BUILT_IN, trained.uri]


async def test_a_checkpoint_that_changed_on_disk_is_a_conflict(tmp_path: Path) -> None:
    trained = write_checkpoint(tmp_path / "model", "trained")
    write_checkpoint(tmp_path / "model", "tampered with")
    with pytest.raises(Conflict, match="digest"):
        await PolicyKeeper(ScriptedPolicy(), patience_s=1.0).ensure(trained)


async def test_one_caller_loads_and_the_others_wait(tmp_path: Path) -> None:
    trained = write_checkpoint(tmp_path / "model", "trained")
    policy = ScriptedPolicy()
    keeper = PolicyKeeper(policy, patience_s=1.0)
    loaded = await asyncio.gather(*(keeper.ensure(trained) for _ in range(5)))
    assert sorted(loaded) == [False, False, False, False, True]
    assert policy.loads == [trained.uri]


async def test_the_start_is_waited_for() -> None:
    class Starting(ScriptedPolicy):
        async def load(self, checkpoint: Checkpoint) -> None:
            if not self.loads:
                self.loads.append("refused")
                raise Unavailable("loading")
            await super().load(checkpoint)

    start = await PolicyKeeper(Starting(), patience_s=10.0).serve_start("fake:start")
    assert (start.uri, len(start.digest)) == ("fake:start", 64)
    with pytest.raises(Unavailable):
        await PolicyKeeper(Starting(), patience_s=0.0).serve_start("fake:start")


async def test_at_once_keeps_order_limit_and_the_first_error() -> None:
    running, most = 0, 0

    async def work(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01 * (3 - number % 3))
        running -= 1
        if number == 7:
            raise InvalidInput("seven")
        return number

    assert await at_once((work(number) for number in range(6)), 2) == list(range(6))
    assert most == 2
    with pytest.raises(InvalidInput, match="seven"):
        await at_once((work(number) for number in range(20)), 4)
