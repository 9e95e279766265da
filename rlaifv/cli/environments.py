"""Model servers that live in a virtual environment of their own, because their versions do not go with the rest."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Literal

from rlaifv.core.errors import InvalidInput, NotFound

ModelServer = Literal["vllm", "triton"]
_MODULES: dict[ModelServer, str] = {"vllm": "vllm", "triton": "pytriton"}


def interpreter(server: ModelServer) -> str:
    """Path of the Python that can run a model server.

    $RLAIFV_PYTHON_VLLM or $RLAIFV_PYTHON_TRITON where it is set; this Python, if the server is installed in it; else the
    environment beside this one that `make vllm` or `make triton` makes (.venv -> .venv-vllm). Raises InvalidInput for a variable
    that names no program, NotFound where there is none of the three.
    """
    variable = f"RLAIFV_PYTHON_{server.upper()}"
    if named := os.environ.get(variable):
        if not os.access(named, os.X_OK):
            raise InvalidInput.field(variable, named, f"must be the Python of an environment with {server}")
        return named
    if importlib.util.find_spec(_MODULES[server]) is not None:
        return sys.executable
    beside = Path(f"{sys.prefix}-{server}") / "bin" / "python"
    if not beside.exists():
        raise NotFound(
            f"{server} is not installed: make its environment with `make {server}`, or name its Python in {variable}"
        )
    return str(beside)
