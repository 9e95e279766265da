"""What every Policy does, whatever is behind it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlaifv.core.candidates import GREEDY, FinishReason, Prompt, Sampling
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.errors import Conflict, InvalidInput, NotFound, TooLarge
from rlaifv.core.images import Image
from rlaifv.ports.services import Generation, Policy
from tests.serving import collected, picture

SHORT = Sampling(max_new_tokens=8)


def generation(
    prompt_id: str = "p", seeds: tuple[int, ...] = (7, 8, 7), sampling: Sampling = SHORT, image: Image | None = None
) -> Generation:
    prompt = Prompt(id=prompt_id, image=image or picture(), text="What is in the picture?")
    return Generation(prompt=prompt, seeds=seeds, sampling=sampling)


async def test_candidates_come_in_the_order_of_the_seeds_and_say_where_they_are_from(policy: Policy) -> None:
    (outcome,) = (await collected(policy.generate([generation()]))).values()
    candidates = outcome.unwrap()
    assert [(c.prompt_id, c.index, c.seed) for c in candidates] == [("p", 0, 7), ("p", 1, 8), ("p", 2, 7)]
    assert {c.policy_version for c in candidates} == {await policy.version()}
    for candidate in candidates:
        assert len(candidate.token_ids) == len(candidate.token_logprobs) <= 8
        assert all(logprob <= 0 for logprob in candidate.token_logprobs)
        if len(candidate.token_ids) < 8:
            assert candidate.finish_reason is FinishReason.STOP


async def test_a_seed_decides_the_answer_whatever_else_is_asked(policy: Policy) -> None:
    alone = (await collected(policy.generate([generation(seeds=(7,))])))["p"].unwrap()[0]
    others = [generation(f"other {n}", seeds=(n, n + 1), image=picture("blue")) for n in range(3)]
    among = (await collected(policy.generate([*others, generation(seeds=(1, 7))])))["p"].unwrap()[1]
    assert (alone.text, alone.token_ids, alone.token_logprobs) == (among.text, among.token_ids, among.token_logprobs)


async def test_greedy_does_not_depend_on_the_seed(policy: Policy) -> None:
    greedy = Sampling(temperature=GREEDY.temperature, max_new_tokens=8)
    candidates = (await collected(policy.generate([generation(seeds=(1, 2), sampling=greedy)])))["p"].unwrap()
    assert candidates[0].text == candidates[1].text


@pytest.mark.parametrize(
    ("image", "error"),
    [(Image.of(b"no picture"), InvalidInput), (Image.of(b"\x89PNG" + b"0" * (21 * 2**20)), TooLarge)],
    ids=["no picture", "too large"],
)
async def test_a_bad_item_fails_alone(policy: Policy, image: Image, error: type[Exception]) -> None:
    items = [generation("before"), generation("bad", image=image), generation("after", image=picture("green"))]
    found = await collected(policy.generate(items))
    assert isinstance(found["bad"].error, error)
    assert len(found["before"].unwrap()) == len(found["after"].unwrap()) == 3


async def test_special_tokens_in_a_prompt_do_no_harm(policy: Policy) -> None:
    prompt = Prompt(id="p", image=picture(), text="Look <image> at </s> this <|user|> picture.")
    found = await collected(policy.generate([Generation(prompt=prompt, seeds=(1,), sampling=SHORT)]))
    assert len(found["p"].unwrap()) == 1


async def test_another_checkpoint_is_taken_over(policy: Policy, checkpoints: tuple[Path, Path]) -> None:
    before = await policy.version()
    await policy.load(Checkpoint(uri=str(checkpoints[1]), digest=""))
    after = await policy.version()
    assert after != before
    candidates = (await collected(policy.generate([generation()])))["p"].unwrap()
    assert {candidate.policy_version for candidate in candidates} == {after}
    await policy.load(Checkpoint(uri=str(checkpoints[1]), digest=after))
    assert await policy.version() == after


async def test_a_checkpoint_that_cannot_be_loaded_leaves_the_old_one(
    policy: Policy, checkpoints: tuple[Path, Path], tmp_path: Path
) -> None:
    before = await policy.version()
    with pytest.raises(NotFound, match="no-such-folder"):
        await policy.load(Checkpoint(uri=str(tmp_path / "no-such-folder"), digest=""))
    with pytest.raises(InvalidInput, match=r"config\.json"):
        await policy.load(Checkpoint(uri=str(tmp_path), digest=""))
    with pytest.raises(Conflict, match="digest"):
        await policy.load(Checkpoint(uri=str(checkpoints[1]), digest="0" * 64))
    assert await policy.version() == before
    assert len((await collected(policy.generate([generation()])))["p"].unwrap()) == 3


async def test_nothing_asked_nothing_answered(policy: Policy) -> None:
    assert await collected(policy.generate([])) == {}
