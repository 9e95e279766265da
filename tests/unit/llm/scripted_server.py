"""An OpenAI-compatible server over loopback whose model is a function: real HTTP, and every kind of trouble on request."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from socket import SO_LINGER, SOL_SOCKET
from typing import Any

from rlaifv.adapters.fake import decomposer as fake


@dataclass(frozen=True, kw_only=True)
class Said:
    """One answer of the server."""

    content: str | None = ""
    finish: str = "stop"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    reset: bool = False
    body: bytes | None = None

    def raw(self) -> bytes:
        """The HTTP response."""
        body = self.body if self.body is not None else json.dumps(self._completion()).encode()
        lines = [f"HTTP/1.1 {self.status} Whatever", f"content-length: {len(body)}", "content-type: application/json"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + body

    def _completion(self) -> dict[str, Any]:
        if self.status != 200:
            return {"error": {"message": self.content, "type": "trouble"}}
        choice = {"index": 0, "message": {"role": "assistant", "content": self.content}, "finish_reason": self.finish}
        return {
            "id": "1",
            "object": "chat.completion",
            "choices": [choice],
            "usage": {"prompt_tokens": 7, "completion_tokens": 3},
        }


@dataclass(frozen=True, kw_only=True)
class Task:
    """What the client asked: its own words beside the three texts, and the whole request."""

    question: str
    before: str
    text: str
    rest: str
    body: dict[str, Any]

    @classmethod
    def of(cls, body: dict[str, Any]) -> Task:
        lines = body["messages"][-1]["content"].split("\n")
        texts = json.loads("{" + ",".join(lines[:3]) + "}")
        return cls(**texts, rest="\n".join(lines[3:]), body=body)


class ChatServer:
    """Answers POST /v1/chat/completions with what `model` says to each task, and GET /v1/models with `models`."""

    def __init__(self, model: Callable[[Task], Said], models: tuple[str, ...] = ("small",)) -> None:
        self.model = model
        self.models = models
        self.max_model_len: int | None = None
        self.listing_status = 200
        self.tasks: list[Task] = []
        self.authorisations: list[str] = []
        self.most_at_once = self.at_once = self.broken_off = 0
        self.port = 0
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def start(self) -> None:
        """Listen; on the same port as before, if there was one."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuse connections and break off the open ones."""
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while head := await self._head(reader):
                request, headers = head
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.authorisations.append(headers.get("authorization", ""))
                said = self._models() if request.startswith("GET") else await self._chat(reader, body)
                if said.reset:
                    writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
                    break
                writer.write(said.raw())
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _head(self, reader: asyncio.StreamReader) -> tuple[str, dict[str, str]] | None:
        raw = await reader.readuntil(b"\r\n\r\n")
        first, *lines = raw.decode().strip().split("\r\n")
        return first, {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def _models(self) -> Said:
        cards = [{"id": name, "object": "model", "max_model_len": self.max_model_len} for name in self.models]
        return Said(status=self.listing_status, body=json.dumps({"object": "list", "data": cards}).encode())

    async def _chat(self, reader: asyncio.StreamReader, body: bytes) -> Said:
        task = Task.of(json.loads(body))
        self.tasks.append(task)
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        try:
            said = self.model(task)
            gone = asyncio.create_task(reader.read(1))
            done, _ = await asyncio.wait({gone}, timeout=said.delay_s or 0.001)
            if done:
                self.broken_off += 1
                raise ConnectionResetError
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)
            return said
        finally:
            self.at_once -= 1


@asynccontextmanager
async def chat_server(model: Callable[[Task], Said], **options: Any) -> AsyncIterator[ChatServer]:
    """A running server; stopped at the end."""
    server = ChatServer(model, **options)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def reply(claims: list[dict[str, Any]] | None = None, skipped: list[dict[str, Any]] | None = None) -> Said:
    """A reply of the right form."""
    return Said(content=json.dumps({"claims": claims or [], "skipped": skipped or []}))


def claim(quote: str, text: str | None = None, question: str | None = None, kind: str = "object") -> dict[str, Any]:
    """A claim about `quote` that keeps the rules unless told otherwise."""
    text = f"There is {quote}." if text is None else text
    return {
        "quote": quote,
        "text": text,
        "type": kind,
        "question": f"Is there {quote}?" if question is None else question,
    }


def skip(quote: str, reason: str = "opinion") -> dict[str, Any]:
    return {"quote": quote, "reason": reason}


def by_sentence(task: Task) -> Said:
    """A model that makes a claim of every sentence, as the fake decomposer does."""
    found = fake.divide(task.text)
    claims = [claim(task.text[one.start : one.end], one.text, one.question, one.type.value) for one in found.claims]
    return reply(claims, [skip(task.text[one.start : one.end], "no_content") for one in found.skipped])
