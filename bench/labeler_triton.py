"""tritonserver with dynamic batching alone: one (picture, question) a request, all sent at once; the batches share nothing.

Its Python-backend model pads the whole prompts of whatever the server put into a batch and makes one forward pass of plain
transformers. Up to 32 rows a batch, a queue delay of 2 ms, one instance. The server and its model are processes of their own;
their CPU time is read from /proc.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.labeler_process import ChildProcess, serve
from bench.labeler_sides import Answer
from bench.scenes import AskedPicture
from rlaifv.cli.environments import interpreter
from rlaifv.core.errors import BackendFailed
from rlaifv.core.training import Precision

_MODEL = "labeler"
_START_S = 180.0
_CONFIG = """
name: "labeler"
backend: "python"
max_batch_size: 32
input [
  { name: "image" data_type: TYPE_STRING dims: [ 1 ] },
  { name: "question" data_type: TYPE_STRING dims: [ 1 ] }
]
output [ { name: "p" data_type: TYPE_FP32 dims: [ 2 ] } ]
dynamic_batching { max_queue_delay_microseconds: 2000 }
instance_group [ { count: 1 kind: KIND_MODEL } ]
"""
_PROGRAM = "from bench.labeler_triton_model import TritonPythonModel\n"


class TritonSide:
    """Sends every question as a request of its own to a tritonserver that runs beside."""

    def __init__(self, folder: Path, precision: Precision, threads: int) -> None:
        """Raises NotFound where Triton's environment is missing, BackendFailed where the server does not start."""
        arguments = [str(folder), precision.value, str(threads)]
        self._child = ChildProcess(interpreter("triton"), "bench.labeler_triton", arguments, threads)
        try:
            self._target = f"127.0.0.1:{self._child.send('port')}"
            asyncio.run(self._ready())
        except BaseException:
            self._child.close()
            raise

    def ask(self, pictures: Sequence[AskedPicture]) -> list[Answer]:
        return asyncio.run(self._ask(pictures))

    def cpu_seconds(self) -> float:
        return self._child.cpu_seconds()

    def close(self) -> None:
        self._child.close()

    async def _ask(self, pictures: Sequence[AskedPicture]) -> list[Answer]:
        from tritonclient.grpc import aio

        client = aio.InferenceServerClient(self._target)
        try:
            asked = [(one.image.data, question) for one in pictures for question in one.questions]
            replies = await asyncio.gather(*(client.infer(_MODEL, _inputs(*one)) for one in asked))
        finally:
            await client.close()
        return [Answer.of(*map(float, reply.as_numpy("p")[0])) for reply in replies]

    async def _ready(self) -> None:
        from tritonclient.grpc import aio
        from tritonclient.utils import InferenceServerException

        client = aio.InferenceServerClient(self._target)
        try:
            for _ in range(int(_START_S)):
                self._child.send("alive")
                try:
                    if await client.is_model_ready(_MODEL):
                        return
                except InferenceServerException:
                    pass
                await asyncio.sleep(1.0)
        finally:
            await client.close()
        raise BackendFailed(f"tritonserver was not ready after {_START_S:.0f} s")


def _inputs(picture: bytes, question: str) -> list[Any]:
    from tritonclient.grpc import InferInput

    tensors = []
    for name, value in (("image", picture), ("question", question.encode())):
        tensor = InferInput(name, [1, 1], "BYTES")
        tensor.set_data_from_numpy(np.array([[value]], dtype=np.object_))
        tensors.append(tensor)
    return tensors


def _write_repository(folder: Path, model: str, precision: str, threads: str) -> Path:
    """A model repository with one model, whose parameters are part of its configuration."""
    parameters = {"model": model, "precision": precision, "threads": threads}
    stated = "\n".join(
        f'parameters {{ key: "{name}" value {{ string_value: "{value}" }} }}' for name, value in parameters.items()
    )
    version = folder / _MODEL / "1"
    version.mkdir(parents=True)
    (folder / _MODEL / "config.pbtxt").write_text(f"{_CONFIG}{stated}\n")
    (version / "model.py").write_text(_PROGRAM)
    return folder


async def _run(address: str, model: str, precision: str, threads: str) -> None:
    """The server, until the bench goes away."""
    import tempfile

    from rlaifv.adapters.triton.process import TritonProcess
    from rlaifv.adapters.triton.settings import TritonSettings

    with tempfile.TemporaryDirectory(prefix="labeler-bench-") as name:
        repository = _write_repository(Path(name) / "models", model, precision, threads)
        settings = TritonSettings(model=model, repository=repository, log_level="error")
        (Path(name) / "server").mkdir()
        server = await TritonProcess.start(settings, Path(name) / "server")
        ended = asyncio.create_task(server.ended())

        def answer(message: Any) -> int:
            if ended.done():
                raise SystemExit(f"tritonserver ended with code {ended.result()}")
            return server.grpc_port

        try:
            await asyncio.to_thread(serve, address, answer)
        finally:
            await server.kill()
            await ended


if __name__ == "__main__":
    asyncio.run(_run(*sys.argv[1:]))
