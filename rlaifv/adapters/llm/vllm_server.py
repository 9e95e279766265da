"""vLLM's own OpenAI server on a CPU: `python -m rlaifv.adapters.llm.vllm_server --model FOLDER --served-model-name NAME`.

Takes the arguments of `vllm serve` and runs in an environment that has vLLM. On a GPU start `vllm serve` itself.
"""

from __future__ import annotations

import os

from rlaifv.adapters.tied_process import tie_to
from rlaifv.adapters.torchvision_operators import make_importable
from rlaifv.adapters.vllm.environment import prepare


def main() -> None:
    """Serve until a signal."""
    prepare(on_cpu=True, threads=None)
    from vllm.entrypoints.launchers.api_server.entry import main as serve
    from vllm.model_executor.models import registry

    # vLLM looks at a model's class in a fresh interpreter, so that this one does not start CUDA. There is no CUDA here, and a
    # fresh interpreter could not import torchvision.
    registry._run_in_subprocess = lambda inspect: inspect()
    serve()


if __name__ == "__main__":
    main()
elif __name__ == "__mp_main__":
    # The engine's process runs this file first, under this name. It ends with the server, even if that is killed.
    tie_to(os.getppid())
    make_importable()
