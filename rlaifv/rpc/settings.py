"""The base of every service's settings: environment variables with a prefix, typed, frozen; a misspelt name is an error."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from rlaifv.core.errors import InvalidInput
from rlaifv.rpc.backlog import MAX_HELD_BYTES
from rlaifv.rpc.channel import MAX_MESSAGE_BYTES


def _split_folders(value: Any) -> Any:
    return tuple(Path(part) for part in value.split(":") if part) if isinstance(value, str) else value


Folders = Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_split_folders)]
"""Folders, given in the environment as one text with ':' between them."""


class StrictSettings(BaseSettings):
    """Environment variables with a prefix, of which none may be misspelt. A subclass adds its fields and its `env_prefix`."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True, protected_namespaces=()
    )

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_names(cls, values: Any) -> Any:
        """pydantic-settings ignores a misspelt variable; a silently default limit or model is worse than no start."""
        prefix = cls.model_config.get("env_prefix", "")
        known = {f"{prefix}{name}".upper() for name in cls.model_fields}
        for name in sorted(os.environ):
            if prefix and name.upper().startswith(prefix.upper()) and name.upper() not in known:
                raise ValueError(f"{name} is no setting: {_remedy(name, known)}")
        return values


class ServiceSettings(StrictSettings):
    """What every service can be told."""

    host: str = "127.0.0.1"
    """Address that gRPC and metrics listen on; 0.0.0.0 in a container."""
    port: int = Field(default=0, ge=0, le=65_535)
    """gRPC port; 0 takes a free one (see ports_file)."""
    metrics_port: int = Field(default=0, ge=0, le=65_535)
    """Port of Prometheus metrics, path /metrics; 0 takes a free one."""
    ports_file: Path | None = None
    """File that gets {"grpc": ..., "metrics": ..., "pid": ...} as JSON as soon as both ports are bound."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level of log lines; they go to stderr, one JSON object each."""
    drain_s: float = Field(default=30.0, ge=0)
    """Longest time after SIGTERM in which calls in flight may end, seconds; then they are cancelled."""
    max_message_bytes: int = Field(default=MAX_MESSAGE_BYTES, gt=0)
    """Largest message in either direction, bytes; a larger one ends its call."""
    max_calls: int = Field(default=1024, gt=0)
    """Most calls in flight; further ones get RESOURCE_EXHAUSTED. Probes do not count."""
    max_in_flight: int = Field(default=32, gt=0)
    """Most items of one stream at work at once; the stream is not read further meanwhile."""
    max_held_bytes: int = Field(default=MAX_HELD_BYTES, gt=0)
    """Memory for requests that were read and not answered, over all streams, bytes; further items get RESOURCE_EXHAUSTED."""
    health_interval_s: float = Field(default=2.0, gt=0)
    """How often the backend is checked, seconds; a dead one turns health to NOT_SERVING."""


def _remedy(name: str, known: set[str]) -> str:
    if os.environ[name].startswith("tcp://") or name.endswith("_SERVICE_HOST") or "_SERVICE_PORT" in name:
        return "it looks like a Kubernetes service link, set enableServiceLinks: false on the pod"
    return f"did you mean {difflib.get_close_matches(name.upper(), sorted(known), n=1, cutoff=0.0)[0]}?"


def explain(error: ValidationError, prefix: str) -> InvalidInput:
    """All that is wrong with some settings in one message: variable, value, remedy."""
    lines = []
    for detail in error.errors():
        where = ".".join(str(part) for part in detail["loc"])
        message = detail["msg"].removeprefix("Value error, ")
        lines.append(f"{prefix}{where.upper()} = {detail['input']!r}: {message}" if where else message)
    return InvalidInput("; ".join(lines))
