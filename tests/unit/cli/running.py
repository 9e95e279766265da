"""Runs the command line in this process and reads what it printed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from typer.testing import CliRunner

from rlaifv.cli.app import app


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one object on stdout."""
        [line] = self.out.splitlines()
        return dict(json.loads(line))


def rlaifv(*arguments: object, stdin: bytes | None = None, **environment: str) -> Ran:
    """The command with these arguments; an exception that is no exit is a failed test."""
    texts = [str(argument) for argument in arguments]
    result = CliRunner().invoke(app, texts, input=stdin, env={"COLUMNS": "200", "NO_COLOR": "1", **environment})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ran(result.exit_code, result.stdout, result.stderr)
