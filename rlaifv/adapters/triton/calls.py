"""One model in one Triton: a request, its answer, its probe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import aio as triton
from tritonclient.utils import InferenceServerException

from rlaifv.adapters.triton import protocol
from rlaifv.adapters.triton.statuses import translate
from rlaifv.core.errors import BackendFailed
from rlaifv.rpc.channel import message_options

_PROBE_PRIORITY, _PRIORITY = 1, 2
"""config.pbtxt: a probe does not wait for the queue, whose length is no sign of illness."""

_OVERHEAD_BYTES: Final = 4096
"""Room for what a message holds besides the picture and the questions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAnswer:
    """(p_yes, p_no) of each question, in their order, and the digest of the weights that gave them."""

    probabilities: tuple[tuple[float, float], ...]
    version: str


class TritonModel:
    """The model `name` of the Triton at `target` ("host:port"); opened at first use inside the running loop."""

    def __init__(self, target: str, name: str, max_request_bytes: int) -> None:
        self.service = f"Triton at {target}"
        self._target = target
        self._name = name
        self._max_message_bytes = max_request_bytes + _OVERHEAD_BYTES
        self._client: Any = None

    async def ask(self, image: bytes, questions: Sequence[bytes], timeout_s: float) -> ModelAnswer:
        """Answers to UTF-8 questions about an encoded picture; cancelling this cancels the request inside Triton.

        Raises the model's own error (InvalidInput, TooLarge, BackendFailed), Unavailable where Triton or its model is away,
        Overloaded where its queue is full, and DeadlineExceeded after `timeout_s`.
        """
        return await self._infer(image, questions, timeout_s, _PRIORITY)

    async def probe(self, timeout_s: float) -> str:
        """The version that answers now, by way of the model's process: Triton says ready even when that is dead."""
        return (await self._infer(b"", (), timeout_s, _PROBE_PRIORITY)).version

    async def close(self) -> None:
        """Close the connection; requests in flight end."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _infer(self, image: bytes, questions: Sequence[bytes], timeout_s: float, priority: int) -> ModelAnswer:
        if self._client is None:
            self._client = triton.InferenceServerClient(self._target, channel_args=self._channel_options())
        try:
            result = await self._client.infer(
                self._name,
                _inputs(image, questions),
                outputs=[triton.InferRequestedOutput(name) for name in protocol.ANSWER],
                priority=priority,
                timeout=int(timeout_s * 1e6),
                client_timeout=timeout_s,
            )
        except InferenceServerException as exc:
            raise translate(exc, self.service) from exc
        return self._answer(result, len(questions))

    def _answer(self, result: Any, expected: int) -> ModelAnswer:
        p_yes, p_no = (result.as_numpy(name) for name in (protocol.P_YES, protocol.P_NO))
        if p_yes is None or p_no is None or not p_yes.size == p_no.size == expected:
            raise BackendFailed(f"{self.service} gave a wrong number of answers for {expected} question(s)")
        return ModelAnswer(
            probabilities=tuple(zip(p_yes.reshape(-1).tolist(), p_no.reshape(-1).tolist(), strict=True)),
            version=result.as_numpy(protocol.VERSION).reshape(-1)[0].decode(),
        )

    def _channel_options(self) -> list[tuple[str, int]]:
        # No keepalive pings: a Triton with default settings takes them for abuse. A request's time-out notices a dead peer.
        return [
            *message_options(self._max_message_bytes),
            ("grpc.initial_reconnect_backoff_ms", 200),
            ("grpc.min_reconnect_backoff_ms", 200),
            ("grpc.max_reconnect_backoff_ms", 2_000),
            ("grpc.enable_retries", 0),
            ("grpc.use_local_subchannel_pool", 1),
        ]


def _inputs(image: bytes, questions: Sequence[bytes]) -> list[Any]:
    pixels: NDArray[np.uint8] = np.frombuffer(image, dtype=np.uint8).reshape(1, -1)
    asked: NDArray[np.object_] = np.array(list(questions), dtype=np.object_).reshape(1, -1)
    tensors = []
    for name, values, kind in ((protocol.IMAGE, pixels, "UINT8"), (protocol.QUESTIONS, asked, "BYTES")):
        tensor = triton.InferInput(name, list(values.shape), kind)
        tensor.set_data_from_numpy(values)
        tensors.append(tensor)
    return tensors
