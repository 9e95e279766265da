"""vLLM's own OpenAI server on this machine, serving SmolLM2-135M-Instruct, as a process of its own environment."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[3]
PYTHON: Final = ROOT / os.environ.get("VLLM_VENV", ".venv-vllm") / "bin" / "python"
MODEL: Final = ROOT / "build" / "smollm2-135m-instruct"
NAME: Final = "smollm2"
CONTEXT_TOKENS: Final = 4096


async def model_folder() -> Path:
    """The model in Hugging Face's form; converted once, and kept under build/."""
    if not MODEL.exists():
        MODEL.parent.mkdir(exist_ok=True)
        process = await asyncio.create_subprocess_exec(
            PYTHON, "-m", "tests.servers.llm.smollm", MODEL, cwd=ROOT, stderr=asyncio.subprocess.PIPE
        )
        _, said = await process.communicate()
        assert process.returncode == 0, said.decode()[-2000:]
    return MODEL


class VllmServer:
    """One address that a server is started on, killed at, and started on again."""

    def __init__(self, model: Path, log: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._model = model
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    async def start(self) -> None:
        """Begin to start; whoever asks it waits until it answers."""
        arguments = {
            "model": self._model, "served-model-name": NAME, "host": "127.0.0.1", "port": self._port,
            "max-model-len": CONTEXT_TOKENS, "dtype": "float32", "block-size": 32,
        }  # fmt: skip
        words = [word for name, value in arguments.items() for word in (f"--{name}", str(value))]
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                PYTHON,
                "-m",
                "rlaifv.adapters.llm.vllm_server",
                *words,
                "--enforce-eager",
                cwd=ROOT,
                env={**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1"},
                stdout=log,
                stderr=log,
            )

    async def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End it by a signal and wait for its end."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)
            await self._process.wait()


@asynccontextmanager
async def vllm_server(log: Path) -> AsyncIterator[VllmServer]:
    """A server that has begun to start; ended at the end."""
    server = VllmServer(await model_folder(), log)
    await server.start()
    try:
        yield server
    finally:
        await server.kill()
