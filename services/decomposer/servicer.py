"""The decomposer's RPC: convert, call the port, convert."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from rlaifv.api.v1 import decomposer_pb2 as pb
from rlaifv.api.v1.decomposer_pb2_grpc import DecomposerServiceServicer
from rlaifv.ports.services import Decomposer
from rlaifv.rpc.convert.claims import answer_from_proto, decomposition_to_response
from rlaifv.rpc.metrics import CallMetrics, DecomposerMetrics
from rlaifv.rpc.streams import ItemStream, only


class DecomposerServicer(DecomposerServiceServicer):
    """Serves `decomposer`."""

    def __init__(
        self,
        decomposer: Decomposer,
        calls: CallMetrics,
        metrics: DecomposerMetrics,
        *,
        max_in_flight: int,
        max_answer_bytes: int,
    ) -> None:
        self._decomposer = decomposer
        self._metrics = metrics
        self._max_answer_bytes = max_answer_bytes
        self._decompositions = ItemStream(
            method="Decompose",
            handle=self._decompose,
            failed=lambda item_id, status: pb.DecomposeResponse(item_id=item_id, status=status),
            max_in_flight=max_in_flight,
            metrics=calls,
        )

    def Decompose(self, request_iterator: Any, context: Any) -> AsyncIterator[pb.DecomposeResponse]:
        return self._decompositions.serve(request_iterator)

    async def _decompose(self, request: pb.DecomposeRequest) -> pb.DecomposeResponse:
        answer = answer_from_proto(request, self._max_answer_bytes)
        decomposition = await only(self._decomposer.decompose([answer]))
        self._metrics.divided(decomposition)
        return decomposition_to_response(request.item_id, decomposition)
