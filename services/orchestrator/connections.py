"""A run's services over gRPC: addresses from the run file, or from the settings where it names none."""

from __future__ import annotations

import asyncio

from rlaifv.adapters.remote.decomposer import RemoteDecomposer
from rlaifv.adapters.remote.labeler import RemoteLabeler
from rlaifv.adapters.remote.policy import RemotePolicy
from rlaifv.adapters.remote.trainer import RemoteTrainer
from rlaifv.adapters.runs.run_file import RunFile
from rlaifv.core.errors import InvalidInput
from services.orchestrator.context import Ports
from services.orchestrator.contexts import Connection
from services.orchestrator.settings import OrchestratorSettings


def connect(settings: OrchestratorSettings, run: RunFile) -> Connection:
    """Clients of the run's services; nothing is sent yet. Raises InvalidInput for a service without an address."""
    policy = RemotePolicy(
        _target(settings, run, "policy"),
        patience_s=settings.patience_s,
        timeout_s=settings.call_timeout_s,
        load_timeout_s=settings.load_timeout_s,
        stall_s=settings.stall_s,
    )
    decomposer = RemoteDecomposer(
        _target(settings, run, "decomposer"),
        patience_s=settings.patience_s,
        timeout_s=settings.call_timeout_s,
        stall_s=settings.stall_s,
    )
    labeler = RemoteLabeler(
        _target(settings, run, "labeler"),
        patience_s=settings.patience_s,
        timeout_s=settings.call_timeout_s,
        stall_s=settings.stall_s,
    )
    trainer = RemoteTrainer(
        _target(settings, run, "trainer"), patience_s=settings.patience_s, timeout_s=settings.call_timeout_s
    )

    async def close() -> None:
        await asyncio.gather(policy.close(), decomposer.close(), labeler.close(), trainer.close())

    ports = Ports(policy=policy, decomposer=decomposer, labeler=labeler, trainer=trainer)
    return Connection(ports=ports, close=close)


def _target(settings: OrchestratorSettings, run: RunFile, service: str) -> str:
    target = getattr(run.services, service) or getattr(settings, f"{service}_target")
    if not target:
        raise InvalidInput.field(
            f"services.{service}",
            None,
            f'give "host:port" in the run file, or RLAIFV_ORCHESTRATOR_{service.upper()}_TARGET to the orchestrator',
        )
    return str(target)
