"""The Policy port over gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from rlaifv.adapters.remote.connection import Connection
from rlaifv.adapters.remote.item_calls import ItemCalls
from rlaifv.api.v1 import policy_pb2 as pb
from rlaifv.api.v1.policy_pb2_grpc import PolicyServiceStub
from rlaifv.core.candidates import Candidate
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.outcomes import Outcome
from rlaifv.ports.services import Generation
from rlaifv.rpc.convert.candidates import (
    candidates_from_response,
    checkpoint_from_proto,
    checkpoint_to_proto,
    generation_to_proto,
)


class RemotePolicy:
    """A policy service at `target` ("host:port").

    A service that is away is waited for up to `patience_s`. One that was restarted has forgotten what `load` told it, so the
    checkpoint is loaded again before items are asked again.
    """

    def __init__(
        self,
        target: str,
        *,
        patience_s: float = 120.0,
        timeout_s: float = 30.0,
        load_timeout_s: float = 600.0,
        stall_s: float = 600.0,
        window: int = 64,
    ) -> None:
        self._connection = Connection("policy", target, patience_s=patience_s, timeout_s=timeout_s)
        self._load_timeout_s = load_timeout_s
        self._loaded: Checkpoint | None = None
        self._items: ItemCalls[Generation, pb.GenerateResponse, tuple[Candidate, ...]] = ItemCalls(
            connection=self._connection,
            method=lambda channel: PolicyServiceStub(channel).Generate,
            item_id=lambda item: item.prompt.id,
            write=generation_to_proto,
            read=candidates_from_response,
            window=window,
            stall_s=stall_s,
            before_retry=self._load_again,
        )

    def generate(self, items: Sequence[Generation]) -> AsyncIterator[Outcome[tuple[Candidate, ...]]]:
        return self._items.outcomes(items)

    async def load(self, checkpoint: Checkpoint) -> None:
        request = pb.LoadCheckpointRequest(checkpoint=checkpoint_to_proto(checkpoint))
        response = await self._connection.call(
            lambda: PolicyServiceStub(self._connection.channel).LoadCheckpoint,
            request,
            timeout_s=self._load_timeout_s,
        )
        self._loaded = checkpoint_from_proto(response.checkpoint)

    async def version(self) -> str:
        return (await self.checkpoint()).digest

    async def checkpoint(self) -> Checkpoint:
        """What answers now."""
        response = await self._connection.call(
            lambda: PolicyServiceStub(self._connection.channel).GetPolicy, pb.GetPolicyRequest()
        )
        return checkpoint_from_proto(response.checkpoint)

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()

    async def _load_again(self) -> None:
        if self._loaded is not None and (await self.checkpoint()).digest != self._loaded.digest:
            await self.load(self._loaded)
