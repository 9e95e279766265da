"""A server in this process that speaks Triton's protocol and answers as a test says: the adapter's client runs for real."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from rlaifv.rpc.channel import server_options

VERSION = "a" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request as it arrived."""

    image: bytes
    questions: tuple[str, ...]
    timeout_us: int
    priority: int


@dataclass(slots=True)
class Failure(Exception):
    """What Triton would answer in place of numbers."""

    code: grpc.StatusCode
    message: str


Answer = Callable[[Asked], Awaitable[str]]
"""Gives the version that answers, or raises Failure."""


def p_yes(question: str) -> float:
    """What the scripted model says: a number that FP32 holds exactly."""
    return (len(question) % 64) / 128


@dataclass(slots=True)
class ScriptedTriton(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Answers `p_yes(question)` and 0.25, as the version that `answer` gives."""

    answer: Answer
    asked: list[Asked] = field(default_factory=list)
    cancelled: int = 0
    at_work: int = 0
    most_at_work: int = 0
    target: str = ""

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        asked = _read(request)
        if asked.questions:
            self.asked.append(asked)
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        try:
            version = await self.answer(asked)
        except Failure as failure:
            await context.abort(failure.code, failure.message)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.at_work -= 1
        numbers = [p_yes(question) for question in asked.questions]
        quarter = [0.25 for _ in asked.questions]
        response = pb.ModelInferResponse(model_name=request.model_name)
        for name, kind, shape, raw in (
            ("p_yes", "FP32", [1, len(numbers)], struct.pack(f"<{len(numbers)}f", *numbers)),
            ("p_no", "FP32", [1, len(numbers)], struct.pack(f"<{len(numbers)}f", *quarter)),
            ("version", "BYTES", [1, 1], struct.pack("<I", len(version)) + version.encode()),
        ):
            response.outputs.add(name=name, datatype=kind, shape=shape)
            response.raw_output_contents.append(raw)
        return response


def _read(request: Any) -> Asked:
    image, raw = request.raw_input_contents if len(request.raw_input_contents) == 2 else (b"", b"")
    questions, at = [], 0
    while at < len(raw):
        (length,) = struct.unpack_from("<I", raw, at)
        questions.append(raw[at + 4 : at + 4 + length].decode())
        at += 4 + length
    return Asked(
        image=image,
        questions=tuple(questions),
        timeout_us=request.parameters["timeout"].int64_param,
        priority=request.parameters["priority"].uint64_param or request.parameters["priority"].int64_param,
    )


async def at_once(_: Asked) -> str:
    return VERSION


@asynccontextmanager
async def scripted(answer: Answer = at_once) -> AsyncIterator[ScriptedTriton]:
    """The server on a free port."""
    triton = ScriptedTriton(answer)
    server = grpc.aio.server(options=server_options())
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(triton, server)
    triton.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield triton
    finally:
        await server.stop(None)
