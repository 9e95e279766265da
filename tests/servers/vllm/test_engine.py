"""What vLLM is there for: one prefill for all samples, freed slots, bounded queues, and no weights but whole ones."""

from __future__ import annotations

import asyncio
import json
import shutil
from contextlib import aclosing
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from rlaifv.adapters.remote.policy import RemotePolicy
from rlaifv.core.candidates import FinishReason, Prompt, Sampling
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.errors import DataLoss, InvalidInput, Overloaded
from rlaifv.ports.services import Generation
from tests.servers.vllm.service import VllmService, alive, engines_of, running
from tests.serving import collected, eventually, picture

pytestmark = pytest.mark.servers

BLOCK = 32
LONG = Sampling(temperature=1.0, max_new_tokens=120)


def generation(name: str, seeds: tuple[int, ...], sampling: Sampling = LONG, words: int = 12) -> Generation:
    text = f"{name} " + "Look at the picture. " * words
    return Generation(prompt=Prompt(id=name, image=picture(), text=text), seeds=seeds, sampling=sampling)


async def test_ten_samples_share_one_prefill(service: VllmService, policy: RemotePolicy) -> None:
    def tokens() -> tuple[float, float]:
        """Prompt tokens that were asked for, and those of them that were in the cache."""
        labels = '{engine="0",model_name="' + service.model + '"}'
        now = service.metrics()
        return now[f"vllm:prefix_cache_queries_total{labels}"], now[f"vllm:prefix_cache_hits_total{labels}"]

    queries, hits = tokens()
    short = Sampling(temperature=1.0, max_new_tokens=2)
    await collected(policy.generate([generation("ten", tuple(range(10)), short)]))
    await eventually(lambda: tokens()[0] > queries)
    await asyncio.sleep(0.5)  # each of the engine's steps reports by itself
    asked, cached = (now - before for now, before in zip(tokens(), (queries, hits), strict=True))
    size = asked / 10
    assert size > 2 * BLOCK
    # All but the first find every whole block of the prompt; its last token is always computed.
    assert cached == 9 * ((size - 1) // BLOCK) * BLOCK


async def test_leaving_frees_the_slots(service: VllmService, policy: RemotePolicy) -> None:
    def active() -> float:
        return service.metrics()["rlaifv_batch_size"]

    items = [generation(f"left {number}", tuple(range(12))) for number in range(8)]
    async with aclosing(policy.generate(items)) as answers:
        await anext(answers)
        await eventually(lambda: active() > 0)
    await eventually(lambda: active() == 0, seconds=2)
    found = await collected(policy.generate([generation("after", (1,), Sampling(max_new_tokens=2))]))
    assert found["after"].error is None


async def test_a_prompt_that_fills_the_context_is_an_error_with_numbers(policy: RemotePolicy) -> None:
    found = await collected(policy.generate([generation("long", (1,), words=80), generation("short", (1,), words=1)]))
    assert isinstance(found["long"].error, InvalidInput)
    assert "the model takes under 256: shorten it" in found["long"].error.message
    (answer,) = found["short"].unwrap()
    assert answer.finish_reason is FinishReason.LENGTH or len(answer.token_ids) < 120


async def test_an_answer_ends_at_the_context(policy: RemotePolicy) -> None:
    endless = Sampling(temperature=1.0, max_new_tokens=60_000)
    answers = (await collected(policy.generate([generation("endless", tuple(range(8)), endless)])))["endless"].unwrap()
    assert all(len(answer.token_ids) < 256 for answer in answers)
    assert {answer.finish_reason for answer in answers} <= set(FinishReason)


async def test_a_temperature_that_vllm_would_change_is_refused(policy: RemotePolicy) -> None:
    found = await collected(policy.generate([generation("cold", (1,), Sampling(temperature=0.001))]))
    assert isinstance(found["cold"].error, InvalidInput)
    assert "sampling.temperature" in found["cold"].error.message


def spoilt(start: Path, folder: Path, how: str) -> Path:
    """A copy of a checkpoint with one fault."""
    shutil.copytree(start, folder)
    weights = folder / "model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(weights).items()}
    name = "language_model.model.layers.0.mlp.up_proj.weight"
    if how == "numbers":
        tensors[name][0, 0] = torch.nan
    elif how == "missing":
        del tensors[name]
    elif how == "shape":
        tensors[name] = tensors[name][:-1].clone()
    elif how == "more":
        tensors["language_model.model.layers.2.mlp.up_proj.weight"] = tensors[name].clone()
    elif how == "configuration":
        config = json.loads((folder / "config.json").read_text())
        config["text_config"]["rope_parameters"]["rope_theta"] = 20_000.0
        (folder / "config.json").write_text(json.dumps(config))
    elif how == "tokenizer":
        tokenizer = (folder / "tokenizer.json").read_text()
        (folder / "tokenizer.json").write_text(tokenizer.replace('"ignore_merges":false', '"ignore_merges":true'))
        state = json.loads(tokenizer)
        state["model"]["merges"] = state["model"]["merges"][:-1]
        (folder / "tokenizer.json").write_text(json.dumps(state))
    save_file(tensors, weights, metadata={"format": "pt"})
    if how == "truncated":
        weights.write_bytes(weights.read_bytes()[:-1000])
    return folder


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ("numbers", DataLoss, "NaN or infinity"),
        ("missing", InvalidInput, "lack language_model.model.layers.0.mlp.up_proj.weight"),
        ("shape", InvalidInput, "has the shape"),
        ("more", InvalidInput, "the served model does not"),
        ("configuration", InvalidInput, "configuration differs from the served one in .*text_config"),
        ("tokenizer", InvalidInput, "its tokenizer differs"),
        ("truncated", DataLoss, "damaged"),
    ],
)
async def test_a_spoilt_checkpoint_is_refused_and_the_old_one_answers_on(
    policy: RemotePolicy, checkpoints: tuple[Path, Path], tmp_path: Path, how: str, error: type[Exception], message: str
) -> None:
    item = generation("same", (1, 2), Sampling(temperature=1.0, max_new_tokens=8))
    before = (await collected(policy.generate([item])))["same"].unwrap()
    with pytest.raises(error, match=message):
        await policy.load(Checkpoint(uri=str(spoilt(checkpoints[1], tmp_path / how, how)), digest=""))
    assert (await collected(policy.generate([item])))["same"].unwrap() == before


async def test_a_full_queue_is_said_and_everything_answered_and_ended_in_the_end(
    checkpoints: tuple[Path, Path], tmp_path: Path
) -> None:
    with running(tmp_path, checkpoints[0], max_queue="2", max_rows="4", max_in_flight="32") as service:
        impatient = RemotePolicy(service.target, patience_s=0)
        patient = RemotePolicy(service.target, patience_s=60)
        items = [generation(f"item {number}", tuple(range(4))) for number in range(24)]

        async def refused() -> bool:
            try:
                await collected(impatient.generate(items))
            except Overloaded as error:
                return "items are waiting already" in error.message
            return False

        told, answers = await asyncio.gather(refused(), collected(patient.generate(items)))
        assert told
        assert len(answers) == 24
        assert all(outcome.error is None for outcome in answers.values())
        await impatient.close()
        await patient.close()
        (engine,) = engines_of(service.pid)
        assert service.terminate() == 0
        assert not alive(engine)
