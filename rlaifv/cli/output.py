"""What every command shares: where it writes, how it ends, how errors look.

People read stdout and stderr; with `--json` stdout holds exactly one JSON object, also when the command fails.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec

import typer

from rlaifv.core.errors import AlreadyExists, Conflict, InvalidInput, NotFound, RlaifvError, TooLarge

if TYPE_CHECKING:
    from rich.console import Console

DONE, FAILED, WRONG_USE = 0, 1, 2
_OPTIONAL = {
    "torch", "torchvision", "transformers", "peft", "spacy", "openai", "tritonclient", "dbos", "sqlalchemy", "pyarrow", "yaml",
    "jinja2", "matplotlib",
}  # fmt: skip
"""Top-level modules of the extras."""

P = ParamSpec("P")
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object for scripts instead of text for people.")]

_CALLERS_FAULT = (InvalidInput, NotFound, AlreadyExists, Conflict, TooLarge)


def out() -> Console:
    """Where results go."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=False)


def err() -> Console:
    """Where progress, hints and errors go."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def emit(value: dict[str, Any]) -> None:
    """One JSON object on stdout."""
    typer.echo(json.dumps(value, ensure_ascii=False, allow_nan=False))


def exit_code(error: RlaifvError) -> int:
    """2 where the caller must change something, 1 where the work failed."""
    return WRONG_USE if isinstance(error, _CALLERS_FAULT) else FAILED


def faults_reported(command: Callable[P, None]) -> Callable[P, None]:
    """The command, with every expected error shown as one message (or as JSON) and turned into its exit code."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except RlaifvError as error:
            report_error(error, as_json=bool(kwargs.get("as_json")))
            raise typer.Exit(exit_code(error)) from error
        except ModuleNotFoundError as missing:
            if (missing.name or "").split(".")[0] not in _OPTIONAL:
                raise
            needed = NotFound(f"this command needs {missing.name}, which is not installed: pip install 'rlaifv[all]'")
            report_error(needed, as_json=bool(kwargs.get("as_json")))
            raise typer.Exit(WRONG_USE) from missing

    run.__doc__ = _reflowed(command.__doc__ or "")
    return run


def _reflowed(text: str) -> str:
    """Each paragraph on one line, to be broken at the reader's width, not at the source's."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(part if part.startswith(" ") else " ".join(part.split("\n")) for part in paragraphs)


def report_error(error: RlaifvError, as_json: bool) -> None:
    """Show the error: text on stderr, or {"error": {"kind", "message"}} on stdout."""
    if as_json:
        emit({"error": {"kind": type(error).__name__, "message": error.message}})
        return
    from rich.text import Text

    err().print(Text.assemble(("error: ", "bold red"), error.message), soft_wrap=True)
