"""The orchestrator's RPCs: convert, call, convert."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from rlaifv.adapters.runs.records import RunPhase
from rlaifv.api.v1 import orchestrator_pb2 as pb
from rlaifv.api.v1 import records_pb2
from rlaifv.api.v1.orchestrator_pb2_grpc import OrchestratorServiceServicer
from rlaifv.core.errors import InvalidInput
from services.orchestrator.runs import Runs, RunState


class OrchestratorServicer(OrchestratorServiceServicer):
    """Serves `runs`."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    async def StartRun(self, request: pb.StartRunRequest, context: Any) -> pb.StartRunResponse:
        state = await self._runs.start(request.name, request.config_yaml, request.base_folder)
        return pb.StartRunResponse(run=run_to_proto(state))

    async def WatchRun(self, request: pb.WatchRunRequest, context: Any) -> AsyncIterator[pb.WatchRunResponse]:
        async for state in self._runs.watch(_name(request.name)):
            yield pb.WatchRunResponse(run=run_to_proto(state))

    async def CancelRun(self, request: pb.CancelRunRequest, context: Any) -> pb.CancelRunResponse:
        return pb.CancelRunResponse(run=run_to_proto(await self._runs.cancel(_name(request.name))))

    async def ResumeRun(self, request: pb.ResumeRunRequest, context: Any) -> pb.ResumeRunResponse:
        return pb.ResumeRunResponse(run=run_to_proto(await self._runs.resume(_name(request.name))))

    async def GetRun(self, request: pb.GetRunRequest, context: Any) -> pb.GetRunResponse:
        return pb.GetRunResponse(run=run_to_proto(await self._runs.get(_name(request.name))))

    async def ListRuns(self, request: pb.ListRunsRequest, context: Any) -> pb.ListRunsResponse:
        return pb.ListRunsResponse(runs=[run_to_proto(state) for state in await self._runs.all()])

    async def GetLineage(self, request: pb.GetLineageRequest, context: Any) -> pb.GetLineageResponse:
        lineage = await self._runs.lineage(_name(request.name), request.pair_id)
        return pb.GetLineageResponse(lineage_json=json.dumps(lineage, ensure_ascii=False))


def _name(name: str) -> str:
    if not name:
        raise InvalidInput.field("name", name, "must be the name of a run")
    return name


_PHASES = {
    RunPhase.PENDING: pb.RUN_PHASE_PENDING,
    RunPhase.RUNNING: pb.RUN_PHASE_RUNNING,
    RunPhase.DONE: pb.RUN_PHASE_DONE,
    RunPhase.FAILED: pb.RUN_PHASE_FAILED,
    RunPhase.CANCELLED: pb.RUN_PHASE_CANCELLED,
}


def run_to_proto(state: RunState) -> pb.Run:
    """The state as it travels."""
    record, progress = state.record, state.record.progress
    return pb.Run(
        name=record.name,
        phase=_PHASES[record.phase],
        message=record.message,
        iteration=progress.iteration,
        iterations=state.run.iterations,
        stage="done" if record.phase is RunPhase.DONE else progress.stage,
        stage_done=progress.done,
        stage_total=progress.total,
        policy=records_pb2.Checkpoint(**state.policy) if state.policy else None,
        wall_s=state.wall_s,
        folder=state.folder,
        rounds=[_round(item) for item in state.rounds],
        training=pb.TrainingFigures(**progress.figures) if progress.figures else None,
        dropped=state.dropped,
    )


def _round(item: dict[str, Any]) -> pb.Round:
    figures = item["eval"] or {}
    return pb.Round(
        index=item["index"],
        promoted=item["promoted"],
        pairs=item["pairs"],
        dropped=item["dropped"],
        response_hallucination=figures.get("response_hallucination"),
        coverage=figures.get("coverage"),
        mean_words=figures.get("mean_words"),
    )
