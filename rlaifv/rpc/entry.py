"""The command line that all services share: settings from the environment, a check of them, logs, exit codes."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

import structlog
from prometheus_client import disable_created_metrics
from pydantic import ValidationError

from rlaifv.core.errors import InvalidInput, RlaifvError
from rlaifv.rpc.logs import configure_logging
from rlaifv.rpc.settings import ServiceSettings, explain

S = TypeVar("S", bound=ServiceSettings)

DONE, FAILED, WRONG_USE = 0, 1, 2

_EXTRAS: Final = {
    "torch": "hf",
    "torchvision": "hf",
    "transformers": "hf",
    "peft": "hf",
    "vllm": "vllm",
    "tritonclient": "triton",
    "spacy": "decomposer",
    "openai": "llm",
    "pyarrow": "trainer",
    "dbos": "orchestrator",
}
"""The extra of this package that brings a module."""

_SWITCH_S: Final = 0.0001
"""A model's thread holds the interpreter lock for as long at a time. The default, 5 ms, is what each turn of the event loop would
wait for beside a busy model, and a burst of a thousand calls needs some thousand turns before a probe behind it is read."""


def run_service(
    name: str,
    settings_class: type[S],
    serve: Callable[[S], Coroutine[Any, Any, None]],
    arguments: Sequence[str] | None = None,
) -> int:
    """Run a service to its end; gives the exit code: 0 stopped on request, 1 failed, 2 wrong settings."""
    parser = argparse.ArgumentParser(prog=f"python -m services.{name}", description=_usage(settings_class))
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--check-config", action="store_true", help="check the settings and end: 0 good, 2 not")
    choice.add_argument("--print-settings", action="store_true", help="print the settings in force as JSON and end")
    options = parser.parse_args(arguments)
    try:
        settings = load_settings(settings_class)
    except InvalidInput as error:
        sys.stderr.write(f"{error.message}\n")
        return WRONG_USE
    if options.print_settings:
        sys.stdout.write(settings.model_dump_json(indent=2) + "\n")
    if options.print_settings or options.check_config:
        return DONE
    configure_logging(settings.log_level, name)
    sys.setswitchinterval(_SWITCH_S)
    disable_created_metrics()  # type: ignore[no-untyped-call]
    log = structlog.stdlib.get_logger(__name__)
    try:
        asyncio.run(serve(settings))
    except RlaifvError as error:
        log.error("the service failed", error=error.message)
        return FAILED
    except ModuleNotFoundError as missing:
        extra = _EXTRAS.get((missing.name or "").partition(".")[0])
        if extra is None:
            log.exception("the service failed unexpectedly")
        else:
            needed = f"this backend needs {missing.name}, which is not installed: pip install 'rlaifv[{extra}]'"
            log.error("the service failed", error=needed)
        return FAILED
    except Exception:  # the top of the process: the traceback belongs in the log, as JSON like the rest
        log.exception("the service failed unexpectedly")
        return FAILED
    return DONE


def load_settings(settings_class: type[S]) -> S:
    """The settings in the environment; raises InvalidInput naming every variable that is wrong."""
    try:
        return settings_class()
    except ValidationError as error:
        raise explain(error, settings_class.model_config.get("env_prefix", "")) from error


def _usage(settings_class: type[ServiceSettings]) -> str:
    prefix = settings_class.model_config.get("env_prefix", "")
    return f"Settings are environment variables {prefix}*: " + ", ".join(
        f"{prefix}{name.upper()}" for name in settings_class.model_fields
    )
