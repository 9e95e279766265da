"""The policy: an answer depends on its own seed and nothing else, and new weights come in while it serves."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rlaifv.adapters.huggingface.loading import load_model
from rlaifv.adapters.huggingface.policy import HuggingFacePolicy, PolicyOptions
from rlaifv.adapters.images import decode
from rlaifv.core.candidates import GREEDY, Candidate, FinishReason, Prompt, Sampling
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.errors import Conflict, InvalidInput, NotFound, Overloaded, RlaifvError, TooLarge
from rlaifv.core.images import Image
from rlaifv.ports.services import Generation
from tests.tiny_llava import picture

Candidates = tuple[Candidate, ...]
COLOURS = [(200, 30, 30), (20, 200, 40), (30, 40, 220), (240, 240, 10), (5, 5, 5)]
TEXTS = ["Describe the picture.", "What is on the left?", "Is there a dog? Say more about it, please."]
SHORT = Sampling(max_new_tokens=24)


def generation(number: int, seeds: Iterable[int], sampling: Sampling = SHORT) -> Generation:
    image = Image.of(picture(COLOURS[number % len(COLOURS)]))
    prompt = Prompt(id=f"p{number}", image=image, text=TEXTS[number % len(TEXTS)])
    return Generation(prompt=prompt, seeds=tuple(seeds), sampling=sampling)


async def answers(policy: HuggingFacePolicy, items: list[Generation]) -> dict[str, Candidates]:
    return {outcome.item_id: outcome.unwrap() async for outcome in policy.generate(items)}


@pytest.fixture
async def policy(checkpoint: Checkpoint) -> AsyncIterator[HuggingFacePolicy]:
    opened = HuggingFacePolicy.open(checkpoint, PolicyOptions(max_rows=32))
    yield opened
    await opened.close()


async def test_seeds_in_order_and_different_seeds_differ(policy: HuggingFacePolicy, checkpoint: Checkpoint) -> None:
    found = (await answers(policy, [generation(0, range(8))]))["p0"]
    assert [candidate.seed for candidate in found] == list(range(8))
    assert [candidate.index for candidate in found] == list(range(8))
    assert len({candidate.token_ids for candidate in found}) > 4
    assert {candidate.policy_version for candidate in found} == {checkpoint.digest}
    assert all(len(candidate.token_ids) == len(candidate.token_logprobs) for candidate in found)


async def test_an_answer_does_not_depend_on_the_batch(policy: HuggingFacePolicy) -> None:
    """Alone, among few, among more than fit at once, with other lengths and parameters beside it: the same to the bit."""
    mixed = [Sampling(max_new_tokens=24), Sampling(temperature=1.3, top_p=0.8, max_new_tokens=9), GREEDY]
    crowd = [generation(n, range(7), replace(mixed[n % 3], max_new_tokens=24 - n)) for n in range(15)]
    together = await answers(policy, crowd)
    chooser = random.Random(0)
    for item in chooser.sample(crowd, 6):
        seed = chooser.choice(item.seeds)
        mates = [replace(mate, prompt=replace(mate.prompt, id=f"mate-{mate.prompt.id}")) for mate in crowd[: seed % 3]]
        alone = (await answers(policy, [*mates, replace(item, seeds=(seed,))]))[item.prompt.id][0]
        among = together[item.prompt.id][seed]
        assert alone.token_ids == among.token_ids
        assert alone.token_logprobs == pytest.approx(among.token_logprobs, abs=1e-5)


async def test_greedy_equals_generate_of_transformers(policy: HuggingFacePolicy, checkpoint: Checkpoint) -> None:
    loaded = load_model(checkpoint)
    item = generation(1, [5], replace(GREEDY, max_new_tokens=20))
    found = (await answers(policy, [item]))["p1"][0]
    rendered = loaded.chat.render(item.prompt.text)
    inputs = loaded.chat.processor(
        images=[decode(item.prompt.image.data)], text=rendered, return_tensors="pt", add_special_tokens=False
    )
    with torch.inference_mode():
        stated = loaded.model.generate(**inputs, do_sample=False, max_new_tokens=20)
    expected = stated[0, inputs["input_ids"].shape[1] :].tolist()
    assert list(found.token_ids) == expected


async def test_logprobs_are_those_of_the_untempered_policy(policy: HuggingFacePolicy, checkpoint: Checkpoint) -> None:
    loaded = load_model(checkpoint)
    sampling = Sampling(temperature=0.5, top_p=0.7, max_new_tokens=12)
    for item in (generation(0, [1, 2], sampling), generation(2, [3], sampling)):
        rendered = loaded.chat.render(item.prompt.text)
        prepared = loaded.chat.prepare(decode(item.prompt.image.data))
        prompt = list(loaded.chat.prompt_ids(rendered, prepared))
        for candidate in (await answers(policy, [item]))[item.prompt.id]:
            ids = torch.tensor([[*prompt, *candidate.token_ids]])
            with torch.inference_mode():
                logprobs = loaded.model(input_ids=ids, **prepared.inputs).logits.float().log_softmax(-1)
            at = torch.arange(len(prompt) - 1, ids.shape[1] - 1)
            naive = logprobs[0, at, ids[0, len(prompt) :]]
            assert candidate.token_logprobs == pytest.approx(naive.tolist(), abs=1e-4)


async def test_why_an_answer_ended(policy: HuggingFacePolicy) -> None:
    sampling = Sampling(temperature=3.0, max_new_tokens=200)
    found = (await answers(policy, [generation(0, range(32), sampling)]))["p0"]
    for candidate in found:
        ended = candidate.token_ids[-1] == 2
        assert candidate.finish_reason is (FinishReason.STOP if ended else FinishReason.LENGTH)
        assert 2 not in candidate.token_ids[:-1]
        assert "</s>" not in candidate.text
    assert {candidate.finish_reason for candidate in found} == set(FinishReason)


def bad(number: int, **changes: object) -> Generation:
    item = generation(number, [1])
    return replace(item, prompt=replace(item.prompt, id=f"bad{number}", **changes))


async def test_one_bad_item_never_fails_its_neighbours(policy: HuggingFacePolicy) -> None:
    items = [
        generation(0, [1]),
        bad(1, image=Image.of(b"not a picture")),
        bad(2, text="<image> </s> "),
        bad(3, text="word " * 5000),
        bad(4, image=Image(uri="/etc/hostname")),
        bad(5, image=Image.of(b"x" * (21 * 1024 * 1024))),
        replace(generation(6, []), prompt=replace(generation(6, []).prompt, id="bad6")),
        generation(2, [1]),
    ]
    outcomes = {outcome.item_id: outcome async for outcome in policy.generate(items)}
    assert len(outcomes) == len(items)
    assert len(outcomes["p0"].unwrap()) == len(outcomes["p2"].unwrap()) == 1
    expected: dict[str, tuple[type[RlaifvError], str]] = {
        "bad1": (InvalidInput, "no picture"),
        "bad2": (InvalidInput, "prompt.text"),
        "bad3": (InvalidInput, "256"),
        "bad4": (InvalidInput, "image.uri"),
        "bad5": (TooLarge, "limit"),
        "bad6": (InvalidInput, "seeds"),
    }
    for item_id, (kind, words) in expected.items():
        error = outcomes[item_id].error
        assert isinstance(error, kind)
        assert words in error.message


async def test_a_full_queue_is_overloaded_and_a_large_call_is_not(checkpoint: Checkpoint) -> None:
    policy = HuggingFacePolicy.open(checkpoint, PolicyOptions(max_rows=8, max_waiting=2))
    crowd = [generation(n, range(4)) for n in range(12)]
    found = await answers(policy, [replace(i, prompt=replace(i.prompt, id=str(n))) for n, i in enumerate(crowd)])
    assert len(found) == 12
    streams = [policy.generate([generation(n, range(8), Sampling(max_new_tokens=200))]) for n in range(12)]
    results = await asyncio.gather(*(anext(stream) for stream in streams))
    kinds = {type(outcome.error) for outcome in results}
    assert kinds == {type(None), Overloaded}
    await policy.close()


async def test_leaving_early_frees_the_rows(policy: HuggingFacePolicy) -> None:
    stream = policy.generate([generation(n, range(8), Sampling(max_new_tokens=200)) for n in range(4)])
    await anext(stream)
    await stream.aclose()
    await answers(policy, [generation(0, [1])])
    assert policy.activity().active_rows == 0
    assert policy.activity().waiting_items == 0


async def test_hot_swap_under_load(checkpoint: Checkpoint, other_checkpoint: Checkpoint) -> None:
    """Every answer equals what a fresh engine of the version it states gives, the cache of features shared by both."""
    fresh = {}
    items = [generation(n, range(4)) for n in range(5)]
    for version in (checkpoint, other_checkpoint):
        engine = HuggingFacePolicy.open(version)
        fresh[version.digest] = await answers(engine, items)
        await engine.close()
    policy = HuggingFacePolicy.open(checkpoint, PolicyOptions(max_rows=16))
    seen: set[str] = set()

    async def ask(item: Generation) -> None:
        for _ in range(12):
            found = (await answers(policy, [item]))[item.prompt.id]
            versions = {candidate.policy_version for candidate in found}
            assert len(versions) == 1
            seen.update(versions)
            assert found == fresh[versions.pop()][item.prompt.id]

    async def swap() -> None:
        for turn in range(4):
            await asyncio.sleep(0.1)
            await policy.load((other_checkpoint, checkpoint)[turn % 2])

    await asyncio.gather(*(ask(item) for item in items), swap())
    assert seen == {checkpoint.digest, other_checkpoint.digest}
    assert await policy.version() == checkpoint.digest
    assert policy.activity().candidates == 5 * 12 * 4
    await policy.close()


async def test_a_bad_checkpoint_leaves_the_old_one_serving(
    policy: HuggingFacePolicy, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    with pytest.raises(NotFound):
        await policy.load(Checkpoint(uri=str(tmp_path / "none"), digest=""))
    with pytest.raises(Conflict):
        await policy.load(Checkpoint(uri=checkpoint.uri, digest="0" * 64))
    assert await policy.version() == checkpoint.digest
    assert len(await answers(policy, [generation(0, [1])])) == 1


async def test_loading_the_served_version_does_nothing(policy: HuggingFacePolicy, checkpoint: Checkpoint) -> None:
    await policy.load(checkpoint)
    await policy.load(Checkpoint(uri=checkpoint.uri, digest=""))
    assert await policy.version() == checkpoint.digest


async def test_the_event_loop_stays_free(policy: HuggingFacePolicy) -> None:
    work = asyncio.create_task(answers(policy, [generation(n, range(16)) for n in range(5)]))
    longest, loop = 0.0, asyncio.get_running_loop()
    while not work.done():
        before = loop.time()
        await asyncio.sleep(0.001)
        longest = max(longest, loop.time() - before)
    await work
    assert longest < 1.0
