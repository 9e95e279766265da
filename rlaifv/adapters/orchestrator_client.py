"""The orchestrator from a client's side: start, watch, stop and trace runs over gRPC."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from rlaifv.api.v1 import orchestrator_pb2 as pb
from rlaifv.api.v1.orchestrator_pb2_grpc import OrchestratorServiceStub
from rlaifv.core.errors import BackendFailed, Unavailable
from rlaifv.rpc.channel import open_channel
from rlaifv.rpc.errors import from_status


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundState:
    """A finished round; figures are None without an evaluation set. Index 0 is the start."""

    index: int
    promoted: bool
    pairs: int
    dropped: dict[str, int]
    response_hallucination: float | None
    coverage: float | None
    mean_words: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingState:
    """The newest figures of a training at work."""

    loss: float
    reward_margin: float
    accuracy: float
    pairs_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """Where a run is. `phase` is pending, running, done, failed or cancelled; `stage_total` is 0 while unknown."""

    name: str
    phase: str
    message: str
    iteration: int
    iterations: int
    stage: str
    stage_done: int
    stage_total: int
    wall_s: float
    folder: str
    policy_version: str
    rounds: tuple[RoundState, ...]
    training: TrainingState | None
    dropped: dict[str, int]

    @property
    def over(self) -> bool:
        return self.phase in ("done", "failed", "cancelled")


class OrchestratorClient:
    """Calls to one orchestrator; every failure is raised as the error that the service gave."""

    def __init__(self, channel: grpc.aio.Channel, target: str, timeout_s: float) -> None:
        self._stub = OrchestratorServiceStub(channel)
        self._target = target
        self._timeout_s = timeout_s

    async def start(self, name: str, config_yaml: str, base_folder: str) -> RunState:
        """Begin the run, or go on with it if name and content are the same; AlreadyExists for other content."""
        request = pb.StartRunRequest(name=name, config_yaml=config_yaml, base_folder=base_folder)
        with self._errors():
            return _state((await self._stub.StartRun(request, timeout=self._timeout_s)).run)

    async def resume(self, name: str) -> RunState:
        """Go on with a run that was cancelled or failed."""
        with self._errors():
            return _state((await self._stub.ResumeRun(pb.ResumeRunRequest(name=name), timeout=self._timeout_s)).run)

    async def cancel(self, name: str) -> RunState:
        """Stop a run; what is complete stays."""
        with self._errors():
            return _state((await self._stub.CancelRun(pb.CancelRunRequest(name=name), timeout=self._timeout_s)).run)

    async def get(self, name: str) -> RunState:
        """Where the run is; NotFound if there is none."""
        with self._errors():
            return _state((await self._stub.GetRun(pb.GetRunRequest(name=name), timeout=self._timeout_s)).run)

    async def list(self) -> tuple[RunState, ...]:
        """All runs, newest first."""
        with self._errors():
            answer = await self._stub.ListRuns(pb.ListRunsRequest(), timeout=self._timeout_s)
        return tuple(_state(run) for run in answer.runs)

    async def watch(self, name: str) -> AsyncIterator[RunState]:
        """States from now to the end of the run; raises Unavailable if the orchestrator goes away meanwhile."""
        with self._errors():
            async for answer in self._stub.WatchRun(pb.WatchRunRequest(name=name)):
                yield _state(answer.run)

    async def lineage(self, name: str, pair_id: str) -> dict[str, Any]:
        """Where a pair came from."""
        request = pb.GetLineageRequest(name=name, pair_id=pair_id)
        with self._errors():
            answer = await self._stub.GetLineage(request, timeout=self._timeout_s)
        try:
            found = json.loads(answer.lineage_json)
        except ValueError as exc:
            raise BackendFailed(f"{self._target} gave a lineage that is not JSON") from exc
        return dict(found)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except grpc.aio.AioRpcError as exc:
            error = from_status(exc.code(), exc.details() or "")
            if isinstance(error, Unavailable):
                error = Unavailable(f"orchestrator at {self._target} does not answer ({error.message}); is it running?")
            raise error from exc


@asynccontextmanager
async def orchestrator_at(target: str, timeout_s: float = 30.0) -> AsyncIterator[OrchestratorClient]:
    """A client of the orchestrator at "host:port"; `timeout_s` bounds every call but watching."""
    async with open_channel(target) as channel:
        yield OrchestratorClient(channel, target, timeout_s)


def _state(run: pb.Run) -> RunState:
    figures = run.training
    return RunState(
        name=run.name,
        phase=pb.RunPhase.Name(run.phase).removeprefix("RUN_PHASE_").lower(),
        message=run.message,
        iteration=run.iteration,
        iterations=run.iterations,
        stage=run.stage,
        stage_done=run.stage_done,
        stage_total=run.stage_total,
        wall_s=run.wall_s,
        folder=run.folder,
        policy_version=run.policy.digest,
        rounds=tuple(_round(round_) for round_ in run.rounds),
        training=TrainingState(
            loss=figures.loss,
            reward_margin=figures.reward_margin,
            accuracy=figures.accuracy,
            pairs_per_s=figures.pairs_per_s,
        )
        if run.HasField("training")
        else None,
        dropped=dict(run.dropped),
    )


def _round(round_: pb.Round) -> RoundState:
    return RoundState(
        index=round_.index,
        promoted=round_.promoted,
        pairs=round_.pairs,
        dropped=dict(round_.dropped),
        response_hallucination=round_.response_hallucination if round_.HasField("response_hallucination") else None,
        coverage=round_.coverage if round_.HasField("coverage") else None,
        mean_words=round_.mean_words if round_.HasField("mean_words") else None,
    )
