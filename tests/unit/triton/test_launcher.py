"""The launcher's parts that need no server: settings, the command, texts of errors, what it leaves behind."""

from __future__ import annotations

import ctypes.util
import importlib.util
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from pydantic import ValidationError

from rlaifv.adapters.triton import process
from rlaifv.adapters.triton.installation import Installation, find_repository, find_tritonserver
from rlaifv.adapters.triton.process import command, free_port, remove_shared_memory
from rlaifv.adapters.triton.protocol import error_from_text, error_to_text
from rlaifv.adapters.triton.settings import TritonSettings
from rlaifv.core.errors import InvalidInput, NotFound
from rlaifv.rpc.errors import STATUS


@pytest.mark.parametrize("kind", sorted(STATUS, key=lambda kind: kind.__name__))
def test_every_error_survives_the_way_through_triton(kind: type[InvalidInput]) -> None:
    found = error_from_text(error_to_text(kind("question = 'a: b': is empty")))
    assert type(found) is kind
    assert found.message == "question = 'a: b': is empty"


def test_other_errors_tell_nothing_and_other_texts_are_tritons() -> None:
    assert error_to_text(RuntimeError("a secret")) == "BackendFailed: internal error"
    assert error_from_text("Stub process 'labeler_0_0' is not healthy.") is None
    assert error_from_text("InvalidInput") is None


def test_a_misspelt_setting_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLAIFV_TRITON_MODEL", "/models/llava")
    assert TritonSettings().model == "/models/llava"
    monkeypatch.setenv("RLAIFV_TRITON_PRECISON", "bf16")
    with pytest.raises(ValidationError, match="did you mean RLAIFV_TRITON_PRECISION"):
        TritonSettings()


def test_parameters_of_the_model_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLAIFV_TRITON_MODEL", "/models/llava")
    monkeypatch.setenv("RLAIFV_TRITON_PRECISION", "bf16")
    settings = TritonSettings(**{"model": "/models/other", "branch_bytes": "1000"})  # type: ignore[arg-type]
    assert (settings.model, settings.precision, settings.branch_bytes) == ("/models/other", "bf16", 1000)


def test_wrong_settings_end_with_code_2_and_name_the_variable() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "rlaifv.adapters.triton.server"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert "RLAIFV_TRITON_MODEL is empty" in ended.stderr


def test_the_command_says_what_the_settings_say() -> None:
    settings = TritonSettings(model="/m", host="0.0.0.0", drain_s=7, log_level="warning")
    installation = Installation(binary=Path("/opt/tritonserver"), arguments=("--backend-directory=/b",))
    arguments = command(settings, installation, Path("/repository"), (8001, 8002))
    assert arguments[0] == "/opt/tritonserver"
    for expected in (
        "--backend-directory=/b",
        "--model-repository=/repository",
        "--allow-http=false",
        "--grpc-address=0.0.0.0",
        "--grpc-port=8001",
        "--metrics-address=0.0.0.0",
        "--metrics-port=8002",
        "--exit-timeout-secs=7",
        "--log-info=false",
        "--log-warning=true",
        "--log-verbose=0",
    ):
        assert expected in arguments


def test_a_machine_without_triton_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NotFound, match="install nvidia-pytriton"):
        find_tritonserver(tmp_path)
    server = tmp_path / "tritonserver"
    server.write_text("#!/bin/sh\n")
    server.chmod(0o755)
    assert find_tritonserver(tmp_path).binary == server


def test_the_bundled_server_gets_this_interpreters_stub_libraries_and_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    package, libraries = tmp_path / "site" / "pytriton", tmp_path / "lib"
    stub = package / "tritonserver" / "python_backend_stubs" / version / "triton_python_backend_stub"
    backend = package / "tritonserver" / "backends" / "python" / "libtriton_python.so"
    for file in (stub, backend, package / "__init__.py", libraries / f"libpython{version}.so.1.0"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: str(libraries))
    monkeypatch.setenv("LD_LIBRARY_PATH", "/elsewhere")
    found = find_tritonserver(tmp_path)
    assert found.binary == package / "tritonserver" / "bin" / "tritonserver"
    assert found.environment["LD_LIBRARY_PATH"] == f"{libraries}:{package.parent}/nvidia_pytriton.libs:/elsewhere"
    assert sysconfig.get_paths()["purelib"] in found.environment["PYTHONPATH"].split(":")
    (folder,) = [Path(argument.removeprefix("--backend-directory=")) for argument in found.arguments]
    assert {path.resolve() for path in (folder / "python").iterdir()} == {stub, backend}
    (libraries / f"libpython{version}.so.1.0").unlink()
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: None)
    with pytest.raises(NotFound, match=f"install the package libpython{version}"):
        find_tritonserver(tmp_path)


def test_the_repository_is_the_one_beside_the_sources_unless_named(tmp_path: Path) -> None:
    assert (find_repository(None) / "labeler" / "1" / "model.py").is_file()
    with pytest.raises(NotFound, match="RLAIFV_TRITON_REPOSITORY"):
        find_repository(tmp_path)


def test_shared_memory_of_the_dead_is_removed_and_that_of_others_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_SHARED_MEMORY", tmp_path)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    names = {pid: f"rlaifv_labeler_{pid}_region" for pid in (gone.pid, os.getpid(), os.getppid())}
    for name in (*names.values(), "somebody_else"):
        (tmp_path / name).touch()
    remove_shared_memory()
    assert {path.name for path in tmp_path.iterdir()} == {names[os.getpid()], names[os.getppid()], "somebody_else"}
    remove_shared_memory(os.getpid())
    assert {path.name for path in tmp_path.iterdir()} == {names[os.getppid()], "somebody_else"}


def test_a_free_port_can_be_taken() -> None:
    assert 1024 <= free_port("127.0.0.1") <= 65_535
