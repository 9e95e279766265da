"""The Decomposer port over gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from rlaifv.adapters.remote.connection import Connection
from rlaifv.adapters.remote.item_calls import ItemCalls
from rlaifv.api.v1 import decomposer_pb2 as pb
from rlaifv.api.v1.decomposer_pb2_grpc import DecomposerServiceStub
from rlaifv.core.decomposition import Decomposition
from rlaifv.core.outcomes import Outcome
from rlaifv.ports.services import Answer
from rlaifv.rpc.convert.claims import answer_to_proto, decomposition_from_response


class RemoteDecomposer:
    """A decomposer service at `target` ("host:port"); one that is away is waited for up to `patience_s`."""

    def __init__(
        self,
        target: str,
        *,
        patience_s: float = 120.0,
        timeout_s: float = 30.0,
        stall_s: float = 600.0,
        window: int = 64,
    ) -> None:
        self._connection = Connection("decomposer", target, patience_s=patience_s, timeout_s=timeout_s)
        self._items: ItemCalls[Answer, pb.DecomposeResponse, Decomposition] = ItemCalls(
            connection=self._connection,
            method=lambda channel: DecomposerServiceStub(channel).Decompose,
            item_id=lambda answer: answer.id,
            write=answer_to_proto,
            read=decomposition_from_response,
            window=window,
            stall_s=stall_s,
        )

    def decompose(self, answers: Sequence[Answer]) -> AsyncIterator[Outcome[Decomposition]]:
        return self._items.outcomes(answers)

    async def version(self) -> str:
        """Name and version of what divides there; found by dividing a word."""
        (outcome,) = [outcome async for outcome in self.decompose([Answer(id="version", text="Hello.")])]
        return outcome.unwrap().version

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()
