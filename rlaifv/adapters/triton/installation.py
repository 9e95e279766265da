"""Where tritonserver is on this machine, and the environment that its Python backend needs.

| found                   | then                                                                                        |
|-------------------------|---------------------------------------------------------------------------------------------|
| nvidia-pytriton         | its bundled server, with a stub of this Python's version and this environment's libraries   |
| `tritonserver` on PATH  | as it is: NVIDIA's image has everything in place                                            |
"""

from __future__ import annotations

import ctypes.util
import importlib.util
import os
import shutil
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rlaifv.core.errors import NotFound

_SOURCES: Final = Path(__file__).resolve().parents[3]
_STUB: Final = "triton_python_backend_stub"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """A tritonserver: its binary, the arguments it always needs, and variables to set."""

    binary: Path
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)


def find_tritonserver(folder: Path) -> Installation:
    """The server to start; `folder` is an empty one that may be filled. Raises NotFound where there is none."""
    bundle = importlib.util.find_spec("pytriton")
    if bundle is not None and bundle.submodule_search_locations:
        return _bundled(Path(bundle.submodule_search_locations[0]), folder)
    on_path = shutil.which("tritonserver")
    if on_path is None:
        raise NotFound("there is no tritonserver: install nvidia-pytriton, or run this inside NVIDIA's Triton image")
    return Installation(binary=Path(on_path), environment={"PYTHONPATH": _joined(str(_SOURCES), "PYTHONPATH")})


def find_repository(given: Path | None) -> Path:
    """The model repository. Raises NotFound where it is missing."""
    repository = given or _SOURCES / "deploy" / "triton" / "model_repository"
    if not (repository / "labeler" / "config.pbtxt").is_file():
        raise NotFound(f"RLAIFV_TRITON_REPOSITORY: there is no model repository with a labeler at {repository}")
    return repository


def _bundled(package: Path, folder: Path) -> Installation:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = package / "tritonserver" / "python_backend_stubs" / version / _STUB
    if not stub.is_file():
        raise NotFound(f"nvidia-pytriton has no stub for Python {version}: use one of its versions")
    own_libraries = str(sysconfig.get_config_var("LIBDIR"))
    _require_libpython(version, Path(own_libraries))
    backend = folder / "backends" / "python"
    backend.mkdir(parents=True)
    for file in (*(package / "tritonserver" / "backends" / "python").iterdir(), stub):
        (backend / file.name).symlink_to(file)
    paths = sysconfig.get_paths()
    # The stub embeds an interpreter: it must find this environment's libpython and packages, not the system's.
    libraries = f"{own_libraries}:{package.parent / 'nvidia_pytriton.libs'}"
    packages = ":".join(dict.fromkeys((str(_SOURCES), paths["purelib"], paths["platlib"])))
    return Installation(
        binary=package / "tritonserver" / "bin" / "tritonserver",
        arguments=(f"--backend-directory={folder / 'backends'}",),
        environment={
            "LD_LIBRARY_PATH": _joined(libraries, "LD_LIBRARY_PATH"),
            "PYTHONPATH": _joined(packages, "PYTHONPATH"),
            "PATH": _joined(paths["scripts"], "PATH"),
        },
    )


def _require_libpython(version: str, folder: Path) -> None:
    """The stub links to it, and an interpreter that holds it itself does not bring it along."""
    name = f"libpython{version}.so.1.0"
    if not (folder / name).is_file() and ctypes.util.find_library(f"python{version}") is None:
        raise NotFound(
            f"there is no {name}, which Triton's Python backend needs: install the package libpython{version}"
        )


def _joined(first: str, variable: str) -> str:
    rest = os.environ.get(variable, "")
    return f"{first}:{rest}" if rest else first
