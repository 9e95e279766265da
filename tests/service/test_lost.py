"""A backend that will never answer again ends its service, so that whoever supervises it starts another."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from rlaifv.core.errors import BackendFailed
from rlaifv.rpc.server import Ready, ServiceServer, serve
from services.policy import __main__ as policy
from services.policy.settings import PolicySettings

SETTINGS = PolicySettings(backend="fake", health_interval_s=0.02, drain_s=0.2)


async def test_a_service_whose_backend_is_lost_ends_with_its_reason() -> None:
    reasons = [""]

    async def load(server: ServiceServer, registry: CollectorRegistry) -> Ready:
        return replace(await policy.load(SETTINGS, server, registry), lost=lambda: reasons[-1])

    serving = asyncio.create_task(serve(SETTINGS, policy.SERVICE, load))
    await asyncio.sleep(0.3)
    assert not serving.done()
    reasons.append("the engine has died")
    with pytest.raises(BackendFailed, match="the engine has died"):
        await asyncio.wait_for(serving, 10)
