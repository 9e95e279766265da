"""Writes docs/settings.md from the settings classes: `python -m services.settings_page > docs/settings.md`."""

from __future__ import annotations

import sys
from enum import EnumType
from pathlib import Path
from types import NoneType
from typing import Any, get_args

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from rlaifv.adapters.triton.settings import TritonSettings
from rlaifv.rpc.settings import ServiceSettings
from services.decomposer.settings import DecomposerSettings
from services.labeler.settings import LabelerSettings
from services.orchestrator.settings import OrchestratorSettings
from services.policy.settings import PolicySettings
from services.trainer.settings import TrainerSettings

SERVICES: tuple[type[BaseSettings], ...] = (
    PolicySettings,
    DecomposerSettings,
    LabelerSettings,
    TrainerSettings,
    OrchestratorSettings,
    TritonSettings,
)

_HEAD = """# Settings of the services

Each service reads environment variables with its own prefix. A name under the prefix that is no setting is an error (exit code 2)
that says which name was probably meant. `python -m services.<name> --check-config` checks them without starting anything,
`--print-settings` prints what is in force. RLAIFV_TRITON_* are the settings of tritonserver with the labeler, which is no service
of ours: `python -m rlaifv.adapters.triton.server` starts it. This page is written by `python -m services.settings_page`; a test
compares it.
"""


def page() -> str:
    """The whole page."""
    common = list(ServiceSettings.model_fields)
    parts = [_HEAD]
    for settings in SERVICES:
        prefix = settings.model_config.get("env_prefix", "")
        shared = common if issubclass(settings, ServiceSettings) else []
        own = [name for name in settings.model_fields if name not in shared]
        parts.append(f"\n## {prefix}\\*\n\n| variable | type | default | meaning |\n|---|---|---|---|\n")
        parts.extend(_row(prefix, name, settings.model_fields[name]) for name in own + shared)
    return "".join(parts)


def _row(prefix: str, name: str, field: FieldInfo) -> str:
    meaning = (field.description or "").replace("\n", " ").replace("|", "\\|")
    return f"| `{prefix}{name.upper()}` | {_type(field.annotation)} | {_default(field.default)} | {meaning} |\n"


def _type(annotation: Any) -> str:
    if isinstance(annotation, EnumType):
        return ", ".join(f"`{member.value}`" for member in list[Any](annotation))
    choices = [choice for choice in get_args(annotation) if choice is not NoneType]
    if choices == [str]:
        return "text"
    if annotation is Path or choices == [Path]:
        return "path"
    if choices and all(isinstance(choice, str | int) for choice in choices):
        return ", ".join(f"`{choice}`" for choice in choices)
    if Path in choices:
        return "folders"
    return {str: "text", int: "whole number", float: "number", bool: "true or false"}[annotation]


def _default(value: Any) -> str:
    if value is None or value in ("", ()):
        return "none"
    return f"`{str(getattr(value, 'value', value)).lower() if isinstance(value, bool) else getattr(value, 'value', value)}`"


if __name__ == "__main__":
    sys.stdout.write(page())
