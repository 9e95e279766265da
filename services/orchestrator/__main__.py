"""Starts the orchestrator service: the only place that picks databases, folders and clients."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from rlaifv.rpc.entry import run_service
from rlaifv.rpc.server import Ready, ServiceServer
from services.orchestrator.settings import OrchestratorSettings

if TYPE_CHECKING:
    from rlaifv.adapters.runs.ledger import Ledger
    from services.orchestrator.contexts import Surroundings

SERVICE = "rlaifv.api.v1.OrchestratorService"


async def serve(settings: OrchestratorSettings) -> None:
    """Serve until SIGTERM."""
    from rlaifv.rpc.server import serve

    await serve(settings, SERVICE, lambda server, registry: load(settings, server, registry))


async def load(settings: OrchestratorSettings, server: ServiceServer, registry: CollectorRegistry) -> Ready:
    """The loop, at work on what it had begun."""
    from rlaifv.adapters.runs.folder import FolderLock
    from rlaifv.adapters.runs.ledger import Ledger
    from rlaifv.api.v1.orchestrator_pb2_grpc import add_OrchestratorServiceServicer_to_server
    from services.orchestrator.contexts import Contexts
    from services.orchestrator.durable import DbosEngine
    from services.orchestrator.runs import Runs
    from services.orchestrator.servicer import OrchestratorServicer

    root = settings.runs_folder.absolute()
    # Workers on one Postgres are told apart by their executor_id; SQLite files are for one alone.
    lock = None if settings.database_url else await asyncio.to_thread(FolderLock, root)
    ledger = Ledger(settings.database_url or f"sqlite:///{root / '.ledger.sqlite'}")
    contexts = Contexts(_surroundings(settings, root, ledger, registry))
    steps_url = settings.database_url or f"sqlite:///{root / '.steps.sqlite'}"
    engine = DbosEngine(contexts, steps_url, settings.executor_id, settings.max_runs)
    runs = Runs(contexts, engine)
    await engine.launch()
    await runs.recover()

    async def close() -> None:
        await engine.close()
        await contexts.close_all()
        ledger.close()
        if lock is not None:
            lock.close()

    servicer = OrchestratorServicer(runs)
    return Ready(
        register=lambda grpc_server: add_OrchestratorServiceServicer_to_server(servicer, grpc_server), close=close
    )


def _surroundings(
    settings: OrchestratorSettings, root: Path, ledger: Ledger, registry: CollectorRegistry
) -> Surroundings:
    from rlaifv.adapters.runs.folder import FolderArtifacts
    from rlaifv.adapters.runs.scene_truth import SceneTruth
    from services.orchestrator.connections import connect
    from services.orchestrator.contexts import Surroundings
    from services.orchestrator.metrics import RunMetrics

    return Surroundings(
        root=root,
        ledger=ledger,
        connect=lambda run: connect(settings, run),
        artifacts=FolderArtifacts,
        truth=SceneTruth,
        metrics=RunMetrics(registry),
        patience_s=settings.patience_s,
    )


if __name__ == "__main__":
    sys.exit(run_service("orchestrator", OrchestratorSettings, serve))
