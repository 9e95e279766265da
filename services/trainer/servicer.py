"""The trainer's RPCs: convert, call the port, convert."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from rlaifv.api.v1 import trainer_pb2 as pb
from rlaifv.api.v1.trainer_pb2_grpc import TrainerServiceServicer
from rlaifv.core.errors import InvalidInput, Unavailable
from rlaifv.core.training import TrainingJob
from rlaifv.ports.services import Trainer
from rlaifv.rpc.convert.training import job_from_proto, job_id_checked, progress_to_proto
from rlaifv.rpc.streams import until
from services.trainer.following import JobFollower


class TrainerServicer(TrainerServiceServicer):
    """Serves `trainer`; jobs may only name places under `allowed_roots` (any place if there are none)."""

    def __init__(self, trainer: Trainer, follower: JobFollower, allowed_roots: Sequence[Path]) -> None:
        self._trainer = trainer
        self._follower = follower
        self._draining = asyncio.Event()
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
        over = False
        async with aclosing(until(self._draining, self._trainer.watch(job_id_checked(request.job_id)))) as reports:
            async for progress in reports:
                over = progress.over
                yield progress_to_proto(progress)
        if not over:
            raise Unavailable("the trainer is shutting down: start the job again, it goes on where it was")

    async def CancelTraining(self, request: pb.CancelTrainingRequest, context: Any) -> pb.CancelTrainingResponse:
        await self._trainer.cancel(job_id_checked(request.job_id))
        return pb.CancelTrainingResponse()

    async def drain(self) -> None:
        """End all watching: a job may take hours and ends with the service."""
        self._draining.set()

    def _refuse_outside(self, job: TrainingJob) -> None:
        places = {"policy.uri": job.policy.uri, "pairs_uri": job.pairs_uri, "output_uri": job.output_uri}
        for name, uri in places.items():
            path = Path(uri.removeprefix("file://")).resolve()
            if self._allowed_roots and not any(path.is_relative_to(root) for root in self._allowed_roots):
                allowed = ", ".join(str(root) for root in self._allowed_roots)
                raise InvalidInput.field(name, uri, f"must lie under {allowed}")
