"""A labeler service as a process of its own."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


def environment(**settings: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RLAIFV_")}
    return kept | {f"RLAIFV_LABELER_{name.upper()}": value for name, value in settings.items()}


@asynccontextmanager
async def process(*arguments: str, **settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A labeler service as a process of its own, killed at the end if it still lives."""
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.labeler",
        *arguments,
        env=environment(**settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield running
    finally:
        if running.returncode is None:
            running.kill()
        await running.communicate()
