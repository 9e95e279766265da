"""Calls with a plain gRPC client, as somebody would make them who has only our protos, or not even these."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import grpc


async def stream(channel: grpc.aio.Channel, method: str, requests: Iterable[bytes], response: Any) -> dict[str, Any]:
    """All responses of a bidirectional method to some encoded messages, by item_id."""
    call = channel.stream_stream(method, request_serializer=bytes, response_deserializer=response.FromString)
    found: dict[str, Any] = {}
    async for answer in call(iter(requests)):
        assert answer.item_id not in found
        found[answer.item_id] = answer
    return found


async def unary(channel: grpc.aio.Channel, method: str, request: bytes, response: Any) -> Any:
    """The response of a unary method to an encoded message."""
    return await channel.unary_unary(method, request_serializer=bytes, response_deserializer=response.FromString)(
        request
    )
