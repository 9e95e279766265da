"""The policy's RPCs: convert, call the port, convert."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from rlaifv.api.v1 import policy_pb2 as pb
from rlaifv.api.v1.policy_pb2_grpc import PolicyServiceServicer
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.ports.services import Policy
from rlaifv.rpc.convert.candidates import (
    candidates_to_response,
    checkpoint_from_proto,
    checkpoint_to_proto,
    generation_from_proto,
)
from rlaifv.rpc.metrics import CallMetrics, ModelMetrics, PolicyMetrics
from rlaifv.rpc.streams import ItemStream, only


class PolicyServicer(PolicyServiceServicer):
    """Serves `policy`, which serves `checkpoint` at the start."""

    def __init__(
        self,
        policy: Policy,
        checkpoint: Checkpoint,
        calls: CallMetrics,
        model: ModelMetrics,
        metrics: PolicyMetrics,
        *,
        max_in_flight: int,
        max_image_bytes: int,
    ) -> None:
        self._policy = policy
        self._checkpoint = checkpoint
        self._model = model
        self._metrics = metrics
        self._max_image_bytes = max_image_bytes
        self._loading = asyncio.Lock()
        self._generations = ItemStream(
            method="Generate",
            handle=self._generate,
            failed=lambda item_id, status: pb.GenerateResponse(item_id=item_id, status=status),
            max_in_flight=max_in_flight,
            metrics=calls,
        )
        model.serves(checkpoint.digest)

    def Generate(self, request_iterator: Any, context: Any) -> AsyncIterator[pb.GenerateResponse]:
        return self._generations.serve(request_iterator)

    async def LoadCheckpoint(self, request: pb.LoadCheckpointRequest, context: Any) -> pb.LoadCheckpointResponse:
        wanted = checkpoint_from_proto(request.checkpoint)
        async with self._loading:
            await self._policy.load(wanted)
            self._checkpoint = replace(wanted, digest=await self._policy.version())
            self._model.serves(self._checkpoint.digest)
            return pb.LoadCheckpointResponse(checkpoint=checkpoint_to_proto(self._checkpoint))

    async def GetPolicy(self, request: pb.GetPolicyRequest, context: Any) -> pb.GetPolicyResponse:
        return pb.GetPolicyResponse(checkpoint=checkpoint_to_proto(self._checkpoint))

    async def _generate(self, request: pb.GenerateRequest) -> pb.GenerateResponse:
        item = generation_from_proto(request, self._max_image_bytes)
        candidates = await only(self._policy.generate([item]))
        self._metrics.generated(candidates)
        return candidates_to_response(request.item_id, candidates)
