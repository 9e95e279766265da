"""The model families that people align, on vLLM: each answers, and its log-probabilities are transformers'."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlaifv.adapters.remote.policy import RemotePolicy
from rlaifv.core.candidates import Prompt, Sampling
from rlaifv.ports.services import Generation
from tests.families import FAMILIES
from tests.servers.vllm.reference import largest_difference, loaded
from tests.servers.vllm.service import VllmService, running
from tests.serving import collected, picture

pytestmark = pytest.mark.servers

TOLERANCE = 1e-4
"""Largest difference of log-probabilities between vLLM and transformers; natural log, fp32."""


REFUSED = {"gemma3": "its attention over a picture goes both ways"}
"""What vLLM on a CPU cannot do, and says so."""


@pytest.mark.parametrize("family", sorted(FAMILIES.keys() - REFUSED))
async def test_a_family_answers_with_the_log_probabilities_of_transformers(family: str, tmp_path: Path) -> None:
    folder = FAMILIES[family](tmp_path / family, 1)
    items = [
        Generation(
            prompt=Prompt(id=f"{colour} {size}", image=picture(colour, size), text=f"What is {colour} here?"),
            seeds=(1, 2),
            sampling=Sampling(temperature=1.0, max_new_tokens=10),
        )
        for colour, size in (("red", (24, 18)), ("blue", (90, 40)))
    ]
    with running(tmp_path / "service", folder) as service:
        policy = RemotePolicy(service.target, patience_s=5)
        found = await collected(policy.generate(items))
        await policy.close()
    model = loaded(folder)
    for item in items:
        candidates = found[item.prompt.id].unwrap()
        assert any(len(candidate.token_ids) > 1 for candidate in candidates)
        assert largest_difference(model, item.prompt, candidates) < TOLERANCE


@pytest.mark.parametrize("family", REFUSED)
def test_a_family_that_would_get_wrong_numbers_is_refused_at_the_start(family: str, tmp_path: Path) -> None:
    service = VllmService(tmp_path / "service", FAMILIES[family](tmp_path / family, 1))
    service.begin()
    assert service.ended(120) == 1
    assert REFUSED[family] in service.log()
