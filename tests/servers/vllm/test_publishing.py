"""Weights published under load: every answer is what a fresh engine with the stamped version says, and what transformers says."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import torch

from rlaifv.adapters.huggingface.checkpoint import model_digest
from rlaifv.adapters.huggingface.lora import save_adapter, with_adapters
from rlaifv.adapters.remote.policy import RemotePolicy
from rlaifv.core.candidates import Candidate, Prompt, Sampling
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.training import Lora
from rlaifv.ports.services import Generation
from tests.servers.vllm.reference import largest_difference, loaded
from tests.servers.vllm.service import VllmService, running
from tests.serving import collected, picture

pytestmark = pytest.mark.servers

ENGINES_TOLERANCE = 1e-5
"""Largest difference of log-probabilities between two engines with the same weights; natural log, fp32."""
TRANSFORMERS_TOLERANCE = 1e-4
"""The same between vLLM and transformers; 1.3e-5 was measured."""
PREFIX = "Look at the picture with care and say what you see in it, without a word on what you do not see. "
Answers = dict[str, tuple[Candidate, ...]]


def prompts() -> list[Generation]:
    """Two pictures, one long beginning: everything that a cache could mix up."""
    return [
        Generation(
            prompt=Prompt(id=f"{colour} {number}", image=picture(colour), text=f"{PREFIX}What is {number}?"),
            seeds=(number, 100 + number),
            sampling=Sampling(temperature=1.0, max_new_tokens=12),
        )
        for colour in ("red", "blue")
        for number in range(4)
    ]


@asynccontextmanager
async def connected(service: VllmService) -> AsyncIterator[RemotePolicy]:
    policy = RemotePolicy(service.target, patience_s=5)
    yield policy
    await policy.close()


def save_random_adapter(base: Path, folder: Path, seed: int) -> Path:
    """An adapter that changes answers: a fresh one changes nothing."""
    model = with_adapters(loaded(base).model, Lora(rank=4, alpha=8), seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.3)
    save_adapter(model, base, folder)
    return folder


@pytest.fixture(scope="module")
def service(checkpoints: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmService]:
    """Not the one that other tests used before."""
    with running(tmp_path_factory.mktemp("service"), checkpoints[0]) as started:
        yield started


@pytest.fixture(scope="module")
def published(checkpoints: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders by digest: two models and two adapters on the first of them."""
    folder = tmp_path_factory.mktemp("published")
    adapters = [save_random_adapter(checkpoints[0], folder / f"adapter-{seed}", seed) for seed in (1, 2)]
    return {model_digest(path): path for path in (*checkpoints, *adapters)}


@pytest.fixture(scope="module")
def expected(
    service: VllmService, published: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Answers]:
    """What fresh engines say, by version: with the model that they started with, or with an adapter that is the first thing
    they load. (The second adapter's base is not the model its engine started with.)"""
    (first, _), (second, other), *adapters = published.items()

    async def answers(policy: RemotePolicy) -> Answers:
        return {key: outcome.unwrap() for key, outcome in (await collected(policy.generate(prompts()))).items()}

    async def model_and_adapter(target: VllmService, digest: str, adapter: tuple[str, Path]) -> dict[str, Answers]:
        async with connected(target) as policy:
            found = {digest: await answers(policy)}
            await policy.load(Checkpoint(uri=str(adapter[1]), digest=adapter[0]))
            return found | {adapter[0]: await answers(policy)}

    found = asyncio.run(model_and_adapter(service, first, adapters[0]))
    with running(tmp_path_factory.mktemp("fresh"), other) as fresh:
        return found | asyncio.run(model_and_adapter(fresh, second, adapters[1]))


@pytest.mark.filterwarnings("ignore:The PEFT config's `base_model_name_or_path` was renamed:UserWarning")
async def test_log_probabilities_are_those_of_transformers(
    expected: dict[str, Answers], published: dict[str, Path]
) -> None:
    for digest, folder in published.items():
        model = loaded(folder)
        for item in prompts():
            assert largest_difference(model, item.prompt, expected[digest][item.prompt.id]) < TRANSFORMERS_TOLERANCE


async def test_every_answer_under_load_is_a_fresh_engines(
    service: VllmService, expected: dict[str, Answers], published: dict[str, Path]
) -> None:
    texts = {digest: [c.text for item in answers.values() for c in item] for digest, answers in expected.items()}
    assert len({tuple(each) for each in texts.values()}) == len(published)
    served: Counter[str] = Counter()
    over = asyncio.Event()

    async def ask() -> None:
        async with connected(service) as policy:
            while not over.is_set():
                async for outcome in policy.generate(prompts()):
                    candidates = outcome.unwrap()
                    (version,) = {candidate.policy_version for candidate in candidates}
                    served[version] += 1
                    for candidate, right in zip(candidates, expected[version][outcome.item_id], strict=True):
                        assert candidate.token_ids == right.token_ids, (version, outcome.item_id)
                        assert candidate.token_logprobs == pytest.approx(right.token_logprobs, abs=ENGINES_TOLERANCE)

    async def publish() -> None:
        async with connected(service) as policy:
            for _ in range(4):
                for digest, folder in [*published.items(), *reversed(published.items())]:
                    await policy.load(Checkpoint(uri=str(folder), digest=digest))
                    assert await policy.version() == digest
                    await asyncio.sleep(0.15)
        over.set()

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(ask())
        group.create_task(publish())
    assert all(served[digest] >= 8 for digest in published), served
