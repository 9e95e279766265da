"""What holds for all commands: help, exit codes, JSON, cheap start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rlaifv.cli.output import exit_code
from rlaifv.core import errors
from rlaifv.core.errors import RlaifvError
from tests.unit.cli.running import rlaifv

COMMANDS = (
    "run", "resume", "cancel", "status", "train", "score", "rank", "report", "export", "lineage", "serve", "version",
)  # fmt: skip
CALLERS_FAULT = {"InvalidInput", "NotFound", "AlreadyExists", "Conflict", "TooLarge"}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_a_command_does_and_offers_json(command: str) -> None:
    ran = rlaifv(command, "--help")
    assert ran.code == 0
    assert "--json" in ran.out
    assert command == "version" or f"rlaifv {command}" in ran.out, "an example is missing"


def test_help_lists_all_commands() -> None:
    ran = rlaifv("--help")
    assert ran.code == 0
    assert all(command in ran.out for command in COMMANDS)
    assert rlaifv().code == 2


def test_a_wrong_command_and_a_missing_argument_are_wrong_use() -> None:
    assert rlaifv("alogn").code == 2
    assert rlaifv("score").code == 2
    assert rlaifv("export", "x", "--out", "y", "--format", "csv").code == 2


def test_version() -> None:
    ran = rlaifv("version", "--json")
    assert ran.code == 0
    assert ran.json["rlaifv"]
    assert ran.json["libraries"]["torch"]
    assert rlaifv("version").out.startswith("rlaifv ")


@pytest.mark.parametrize("name", [name for name, kind in vars(errors).items() if isinstance(kind, type)])
def test_every_error_has_its_exit_code(name: str) -> None:
    kind = getattr(errors, name)
    if issubclass(kind, RlaifvError) and kind is not RlaifvError:
        assert exit_code(kind("x")) == (2 if name in CALLERS_FAULT else 1)


def test_help_needs_nothing_heavy() -> None:
    heavy = (
        "{'torch', 'transformers', 'grpc', 'pyarrow', 'matplotlib', 'pydantic', 'numpy', 'PIL', 'jinja2', 'sqlalchemy'}"
    )
    program = f"import sys, rlaifv.cli.app; found = {heavy} & set(sys.modules); sys.exit(str(found) if found else 0)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_script_as_a_process(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "rlaifv.cli", "report", "absent", "--runs", str(tmp_path)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: run = 'absent': there is no such run")
    assert "Traceback" not in done.stderr
