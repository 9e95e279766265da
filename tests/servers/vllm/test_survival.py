"""An engine that dies takes its service with it, its supervisor starts another, and nobody who asks loses anything."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from rlaifv.adapters.local_services import LocalService, LocalServices, Patience
from rlaifv.adapters.remote.policy import RemotePolicy
from rlaifv.core.candidates import Prompt, Sampling
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.ports.services import Generation
from tests.servers.vllm.service import PYTHON, SMALL, VllmService, alive, engines_of
from tests.serving import eventually, picture

pytestmark = pytest.mark.servers


def items() -> list[Generation]:
    return [
        Generation(
            prompt=Prompt(id=str(number), image=picture(), text=f"What is {number}?"),
            seeds=(number, number + 1),
            sampling=Sampling(temperature=1.0, max_new_tokens=60),
        )
        for number in range(60)
    ]


async def test_a_run_goes_on_when_engine_or_service_are_killed(checkpoints: tuple[Path, Path], tmp_path: Path) -> None:
    settings = SMALL | {"model": str(checkpoints[0]), "health_interval_s": "0.2"}
    local = LocalService(name="policy", settings=settings, python=str(PYTHON))
    with capture_logs() as logs:
        await survive(local, checkpoints[1], tmp_path)
    endings = [entry["ending"] for entry in logs if entry["event"] == "service died, restarting"]
    assert endings == ["exit code 1", "signal SIGKILL"]


async def survive(local: LocalService, published: Path, folder: Path) -> None:
    """Kill the engine, then the service, in the middle of answers of other weights than the service starts with."""
    async with LocalServices([local], folder, Patience(start_s=180)) as services:
        policy = RemotePolicy(services.endpoints["policy"], patience_s=180)
        await policy.load(Checkpoint(uri=str(published), digest=""))
        version = await policy.version()
        answers = policy.generate(items())
        undisturbed = {o.item_id: o.unwrap() for o in [outcome async for outcome in policy.generate(items())]}
        found = [await anext(answers)]
        for victim in ("engine", "service"):
            service = services.processes["policy"]
            (engine,) = engines_of(service)
            os.kill(engine if victim == "engine" else service, signal.SIGKILL)
            await eventually(lambda: services.processes["policy"] != service, seconds=30)  # noqa: B023
            # An engine whose service was killed does not outlive it.
            await eventually(lambda: not alive(engine), seconds=10)  # noqa: B023
            found += [await anext(answers) for _ in range(5)]
        found += [outcome async for outcome in answers]
        assert {outcome.item_id: outcome.unwrap() for outcome in found} == undisturbed
        assert {c.policy_version for outcome in found for c in outcome.unwrap()} == {version}
        await policy.close()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("family", "vLLM does not know its architecture"),
        ("template", "chat template"),
        ("context", "vLLM cannot serve it"),
    ],
)
def test_a_model_that_cannot_be_served_is_a_clear_error_at_the_start(
    checkpoints: tuple[Path, Path], tmp_path: Path, fault: str, message: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(checkpoints[0], folder)
    settings = {}
    if fault == "family":
        config = folder / "config.json"
        config.write_text(
            config.read_text().replace("LlavaForConditionalGeneration", "UnheardOfForConditionalGeneration")
        )
    elif fault == "template":
        (folder / "chat_template.jinja").unlink()
    else:
        settings["vllm_context_tokens"] = "100000"
    service = VllmService(tmp_path / "service", folder, **settings)
    service.begin()
    assert service.ended(120) == 1
    assert message in service.log()
    assert "the service failed unexpectedly" not in service.log()
