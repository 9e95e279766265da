"""Our services inside the test's own loop and process, on free ports of the loopback interface, wired as in production."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from PIL import Image as PilImage
from prometheus_client import CollectorRegistry

from rlaifv.core.images import Image
from rlaifv.core.outcomes import Outcome
from rlaifv.rpc.server import Ready, ServiceServer
from rlaifv.rpc.settings import ServiceSettings
from services.decomposer import __main__ as decomposer
from services.decomposer.settings import DecomposerSettings
from services.labeler import __main__ as labeler
from services.labeler.settings import LabelerSettings
from services.policy import __main__ as policy
from services.policy.settings import PolicySettings
from services.trainer import __main__ as trainer
from services.trainer.settings import TrainerSettings

T = TypeVar("T")

_WIRING: dict[type[ServiceSettings], Any] = {
    PolicySettings: policy,
    DecomposerSettings: decomposer,
    LabelerSettings: labeler,
    TrainerSettings: trainer,
}


@asynccontextmanager
async def serving(
    settings: ServiceSettings, change: Callable[[Ready], Ready] = lambda ready: ready
) -> AsyncIterator[ServiceServer]:
    """The service that the settings are for; stopped at the end."""
    wiring = _WIRING[type(settings)]
    registry = CollectorRegistry()
    server = ServiceServer(settings, wiring.SERVICE, registry)
    try:
        await server.start()
        load: Callable[..., Awaitable[Ready]] = wiring.load
        await server.open(change(await load(settings, server, registry)))
        yield server
    finally:
        await server.stop()


def picture(colour: str = "red", size: tuple[int, int] = (24, 18)) -> Image:
    """A small picture, a different one for each colour and size."""
    encoded = io.BytesIO()
    PilImage.new("RGB", size, colour).save(encoded, "PNG")
    return Image.of(encoded.getvalue())


async def collected(outcomes: AsyncIterator[Outcome[T]]) -> dict[str, Outcome[T]]:
    """All outcomes by item; fails where an item has two."""
    found: dict[str, Outcome[T]] = {}
    async for outcome in outcomes:
        assert outcome.item_id not in found
        found[outcome.item_id] = outcome
    return found


async def eventually(condition: Callable[[], bool | Awaitable[bool]], seconds: float = 20.0) -> None:
    """Wait until the condition holds; fails after `seconds`."""
    async with asyncio.timeout(seconds):
        while True:
            holds = condition()
            if holds is True or (isinstance(holds, Awaitable) and await holds):
                return
            await asyncio.sleep(0.02)
