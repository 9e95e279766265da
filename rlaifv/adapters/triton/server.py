"""tritonserver with the labeler, on one machine or in a container: `python -m rlaifv.adapters.triton.server`.

    start ─▶ the model answers ─▶ ports file ─▶ asked again and again ─┬─ no answer, or its process died ─▶ kill, exit 1
                                                                       ├─ tritonserver ended ─▶ exit 1
                                                                       └─ SIGTERM ─▶ drain ─▶ exit 0

Triton says ready after its model died and does not restart it, so the launcher ends; a supervisor or Kubernetes starts it anew.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
from pathlib import Path
from typing import Final

import structlog
from pydantic import ValidationError

from rlaifv.adapters.triton.calls import TritonModel
from rlaifv.adapters.triton.process import TritonProcess
from rlaifv.adapters.triton.settings import TritonSettings
from rlaifv.core.errors import BackendFailed, DeadlineExceeded, Overloaded, RlaifvError, Unavailable
from rlaifv.rpc.entry import DONE, FAILED, WRONG_USE
from rlaifv.rpc.logs import configure_logging
from rlaifv.rpc.server import write_ports
from rlaifv.rpc.settings import explain

log = structlog.stdlib.get_logger(__name__)

_MODEL: Final = "labeler"
_START_POLL_S: Final = 0.1
_START_PROBE_S: Final = 5.0
_PROBE_BYTES: Final = 1024


async def serve(settings: TritonSettings) -> None:
    """Serve until SIGTERM or SIGINT. Raises BackendFailed where tritonserver or its model dies before."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with tempfile.TemporaryDirectory(prefix="rlaifv-triton-") as folder:
        server = await TritonProcess.start(settings, Path(folder))
        model = TritonModel(f"{_local(settings.host)}:{server.grpc_port}", _MODEL, _PROBE_BYTES)
        watching = asyncio.create_task(_watch(settings, server, model))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((watching, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not stopping.done():
                watching.result()
            log.info("draining")
            await server.drain()
        finally:
            for task in (watching, stopping):
                task.cancel()
            await asyncio.gather(watching, stopping, return_exceptions=True)
            await model.close()
            await server.kill()


async def _watch(settings: TritonSettings, server: TritonProcess, model: TritonModel) -> None:
    """Raises BackendFailed as soon as the server ends or its model does not answer any more."""
    ended = asyncio.create_task(server.ended())
    alive = asyncio.create_task(_ask_for_ever(settings, server, model))
    try:
        await asyncio.wait((ended, alive), return_when=asyncio.FIRST_COMPLETED)
        if alive.done():
            alive.result()
        raise BackendFailed(f"tritonserver ended with code {ended.result()}; its own lines above say why")
    finally:
        for task in (ended, alive):
            task.cancel()
        await asyncio.gather(ended, alive, return_exceptions=True)


async def _ask_for_ever(settings: TritonSettings, server: TritonProcess, model: TritonModel) -> None:
    version = await _first_answer(model)
    log.info("serving", grpc_port=server.grpc_port, metrics_port=server.metrics_port, version=version)
    if settings.ports_file:
        write_ports(settings.ports_file, server.grpc_port, server.metrics_port)
    while True:
        await asyncio.sleep(settings.liveness_interval_s)
        try:
            await model.probe(settings.liveness_timeout_s)
        except Overloaded:
            continue
        except RlaifvError as error:
            raise BackendFailed(f"the model does not answer: {error.message}") from error


async def _first_answer(model: TritonModel) -> str:
    """The version; waits as long as loading takes, for a model that cannot load ends the server."""
    while True:
        try:
            return await model.probe(_START_PROBE_S)
        except (Unavailable, DeadlineExceeded):
            await asyncio.sleep(_START_POLL_S)


def _local(host: str) -> str:
    """Where a server that listens on `host` is reached from its own machine."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)


def main() -> int:
    """The exit code: 0 stopped on request, 1 failed, 2 wrong settings."""
    try:
        settings = TritonSettings()
    except ValidationError as error:
        sys.stderr.write(f"{explain(error, 'RLAIFV_TRITON_').message}\n")
        return WRONG_USE
    configure_logging(settings.log_level, "triton")
    try:
        asyncio.run(serve(settings))
    except RlaifvError as error:
        log.error("the server failed", error=error.message)
        return FAILED
    return DONE


if __name__ == "__main__":
    sys.exit(main())
