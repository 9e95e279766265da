"""A program that supervises one small service and writes its process id to a file: something to kill."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from rlaifv.adapters.local_services import LocalService, LocalServices
from rlaifv.cli.signals import Interrupted, run_until_signal


async def supervise(folder: Path) -> None:
    service = LocalService(name="small", module="tests.unit.cli.small_service")
    async with LocalServices([service], folder) as local:
        (folder / "pid").write_text(str(local.processes["small"]))
        await asyncio.sleep(60)


if __name__ == "__main__":
    try:
        run_until_signal(supervise(Path(sys.argv[1])))
    except Interrupted:
        sys.exit(0)
