"""A decomposer that asks a scripted server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from prometheus_client import CollectorRegistry

from rlaifv.adapters.llm import EndpointOptions, LlmDecomposer, LlmMetrics, LlmOptions
from rlaifv.core.decomposition import Decomposition
from rlaifv.core.errors import (
    RlaifvError,
)
from rlaifv.ports.services import Answer
from tests.serving import collected
from tests.unit.llm.scripted_server import ChatServer, Said, Task, chat_server


class World:
    """A decomposer, the server that it asks, and its metrics."""

    def __init__(self, server: ChatServer, decomposer: LlmDecomposer, registry: CollectorRegistry) -> None:
        self.server = server
        self.decomposer = decomposer
        self._registry = registry

    def count(self, name: str, **labels: str) -> float:
        return self._registry.get_sample_value(f"rlaifv_llm_{name}_total", labels) or 0.0

    async def divide(self, text: str, prompt: str = "") -> Decomposition:
        (found,) = (await collected(self.decomposer.decompose([Answer(id="a", text=text, prompt=prompt)]))).values()
        return found.unwrap()

    async def error(self, text: str = "A dog.") -> RlaifvError:
        (found,) = (await collected(self.decomposer.decompose([Answer(id="a", text=text)]))).values()
        assert found.error is not None
        return found.error


@asynccontextmanager
async def world(
    model: Callable[[Task], Said], fallback: Any = None, *, endpoint: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[World]:
    async with chat_server(model) as server:
        chosen = EndpointOptions(url=server.url, model="small", patience_s=0, timeout_s=5)
        registry = CollectorRegistry()
        decomposer = LlmDecomposer(
            LlmOptions(endpoint=replace(chosen, **(endpoint or {})), **options), LlmMetrics(registry), fallback
        )
        try:
            yield World(server, decomposer, registry)
        finally:
            await decomposer.close()


def in_turn(*said: Said) -> Callable[[Task], Said]:
    """A model that says one thing after the other, the last one for ever."""
    left = list(said)
    return lambda task: left.pop(0) if len(left) > 1 else left[0]
