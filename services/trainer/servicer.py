"""The trainer's RPCs: convert, call the port, convert."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from rlaifv.api.v1 import trainer_pb2 as pb
from rlaifv.api.v1.trainer_pb2_grpc import TrainerServiceServicer
from rlaifv.core.errors import InvalidInput
from rlaifv.core.training import TrainingJob
from rlaifv.ports.services import Trainer
from rlaifv.rpc.convert.training import job_from_proto, job_id_checked, progress_to_proto
from services.trainer.following import JobFollower


class TrainerServicer(TrainerServiceServicer):
    """Serves `trainer`; jobs may only name places under `allowed_roots` (any place if there are none)."""

    def __init__(self, trainer: Trainer, follower: JobFollower, allowed_roots: Sequence[Path]) -> None:
        self._trainer = trainer
        self._follower = follower
        self._allowed_roots = [root.resolve() for root in allowed_roots]

    async def StartTraining(self, request: pb.StartTrainingRequest, context: Any) -> pb.StartTrainingResponse:
        job = job_from_proto(request)
        self._refuse_outside(job)
        await self._trainer.start(job)
        self._follower.follow(job)
        return pb.StartTrainingResponse(job_id=job.id)

    async def WatchTraining(
        self, request: pb.WatchTrainingRequest, context: Any
    ) -> AsyncIterator[pb.WatchTrainingResponse]:
        async with aclosing(self._trainer.watch(job_id_checked(request.job_id))) as reports:  # type: ignore[type-var]
            async for progress in reports:
                yield progress_to_proto(progress)

    async def CancelTraining(self, request: pb.CancelTrainingRequest, context: Any) -> pb.CancelTrainingResponse:
        await self._trainer.cancel(job_id_checked(request.job_id))
        return pb.CancelTrainingResponse()

    def _refuse_outside(self, job: TrainingJob) -> None:
        places = {"policy.uri": job.policy.uri, "pairs_uri": job.pairs_uri, "output_uri": job.output_uri}
        for name, uri in places.items():
            path = Path(uri.removeprefix("file://")).resolve()
            if self._allowed_roots and not any(path.is_relative_to(root) for root in self._allowed_roots):
                allowed = ", ".join(str(root) for root in self._allowed_roots)
                raise InvalidInput.field(name, uri, f"must lie under {allowed}")
