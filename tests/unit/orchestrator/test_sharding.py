"""Cutting an iteration's prompts in shards loses none and doubles none, whatever the numbers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rlaifv.adapters.runs.prompt_sets import prompt_order
from services.orchestrator.collecting import shard_count, shard_prompt_ids


@given(
    prompts=st.integers(1, 60), shard_prompts=st.integers(1, 20), iterations=st.integers(1, 3), seed=st.integers(0, 99)
)
def test_every_prompt_is_in_exactly_one_shard(prompts: int, shard_prompts: int, iterations: int, seed: int) -> None:
    """Reference fault 7: nine rows on eight workers lost three workers, and the run went on without their rows."""
    ids = [f"p{number}" for number in range(prompts * iterations)]
    run = SimpleNamespace(prompts_per_iteration=prompts, shard_prompts=shard_prompts)
    context: Any = SimpleNamespace(run=run, prompts=SimpleNamespace(order=prompt_order(ids, seed)))
    shards = [
        shard_prompt_ids(context, iteration, shard)
        for iteration in range(1, iterations + 1)
        for shard in range(shard_count(context))
    ]
    assert all(1 <= len(shard) <= shard_prompts for shard in shards)
    assert sorted(prompt for shard in shards for prompt in shard) == sorted(ids)
