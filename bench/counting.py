"""A way through to a server that counts the bytes in both directions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

_CHUNK = 1 << 16


class CountingProxy:
    """Listens on a port of its own and hands everything on to `target` ("host:port")."""

    def __init__(self, target: str) -> None:
        self._host, _, port = target.rpartition(":")
        self._port = int(port)
        self.to_server = 0
        self.from_server = 0

    @property
    def total(self) -> int:
        """Bytes in both directions so far."""
        return self.to_server + self.from_server

    @property
    def endpoint(self) -> str:
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"{host}:{port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()

    async def _connected(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection(self._host, self._port)
        try:
            await asyncio.gather(self._upwards(client, to_server), self._downwards(server, to_client))
        except ConnectionError:
            pass  # a client that has its replies hangs up
        finally:
            to_server.close()
            to_client.close()

    async def _upwards(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for data in _chunks(reader):
            self.to_server += len(data)
            await _hand_on(data, writer)
        writer.write_eof()

    async def _downwards(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for data in _chunks(reader):
            self.from_server += len(data)
            await _hand_on(data, writer)
        writer.write_eof()


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while data := await reader.read(_CHUNK):
        yield data


async def _hand_on(data: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(data)
    await writer.drain()
