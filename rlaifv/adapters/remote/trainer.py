"""The Trainer port over gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import grpc

from rlaifv.adapters.remote.connection import RETRYABLE, Connection
from rlaifv.api.v1 import trainer_pb2 as pb
from rlaifv.api.v1.trainer_pb2_grpc import TrainerServiceStub
from rlaifv.core.errors import NotFound, RlaifvError, Unavailable
from rlaifv.core.training import TrainingJob, TrainingProgress
from rlaifv.rpc.convert.training import job_to_proto, progress_from_proto

if TYPE_CHECKING:
    from rlaifv.api.v1.trainer_pb2_grpc import TrainerServiceAsyncStub


class RemoteTrainer:
    """A trainer service at `target` ("host:port"); one that is away is waited for up to `patience_s`.

    A service that was restarted knows no job. A job that was started here is started there again, where it resumes.
    """

    def __init__(self, target: str, *, patience_s: float = 120.0, timeout_s: float = 30.0) -> None:
        self._connection = Connection("trainer", target, patience_s=patience_s, timeout_s=timeout_s)
        self._started: dict[str, TrainingJob] = {}

    async def start(self, job: TrainingJob) -> None:
        await self._connection.call(lambda: self._stub.StartTraining, job_to_proto(job))
        self._started[job.id] = job

    async def watch(self, job_id: str) -> AsyncIterator[TrainingProgress]:
        patience = self._connection.patience()
        over = False
        while not over:
            trouble: RlaifvError = Unavailable(f"{self._connection.service} ended its reports too early")
            call = self._stub.WatchTraining(pb.WatchTrainingRequest(job_id=job_id))
            try:
                async for response in call:
                    patience.moved()
                    progress = progress_from_proto(response)
                    over = progress.over
                    yield progress
            except grpc.aio.AioRpcError as exc:
                trouble = self._connection.translated(exc)
                await self._survive(trouble, job_id)
            finally:
                call.cancel()
            if not over:
                await patience.pause(trouble)
        self._started.pop(job_id, None)

    async def cancel(self, job_id: str) -> None:
        await self._connection.call(lambda: self._stub.CancelTraining, pb.CancelTrainingRequest(job_id=job_id))

    async def close(self) -> None:
        """Close the connection; jobs go on."""
        await self._connection.close()

    async def _survive(self, trouble: RlaifvError, job_id: str) -> None:
        """Do what makes another watch worth while; raises `trouble` where nothing does."""
        if isinstance(trouble, NotFound) and job_id in self._started:
            await self.start(self._started[job_id])
        elif not isinstance(trouble, RETRYABLE):
            raise trouble

    @property
    def _stub(self) -> TrainerServiceAsyncStub:
        return TrainerServiceStub(self._connection.channel)
