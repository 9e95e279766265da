"""Writes the table of run file fields into the service's README: `python -m services.orchestrator.run_file_page`."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from rlaifv.adapters.runs.run_file import RunFile

README = Path(__file__).parent / "README.md"
_BEGIN, _END = "<!-- run file: begin -->\n", "<!-- run file: end -->\n"
_KINDS = {
    "int": "whole number",
    "float": "number",
    "str": "text",
    "bool": "true or false",
    "Path": "path",
    "dict": "texts by service and name",
}


def page(readme: str) -> str:
    """The README with its table as the model is now."""
    before, rest = readme.split(_BEGIN)
    _, after = rest.split(_END)
    table = ["| field | type | default | meaning |", "|---|---|---|---|", *_rows(RunFile, "")]
    return before + _BEGIN + "\n".join(table) + "\n" + _END + after


def _rows(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        meaning = " ".join((field.description or "").split())
        section = next((kind for kind in _choices(field) if issubclass(kind, BaseModel)), None)
        if section is None:
            yield f"| `{prefix}{name}` | {_kind(field)} | {_default(field)} | {meaning} |"
        else:
            yield f"| `{prefix}{name}` | section | | {meaning} |"
            yield from _rows(section, f"{prefix}{name}.")


def _choices(field: FieldInfo) -> list[type[Any]]:
    annotation: Any = field.annotation
    if get_origin(annotation) is dict:
        return [dict]
    return [kind for kind in get_args(annotation) or (annotation,) if kind is not type(None)]


def _kind(field: FieldInfo) -> str:
    [kind] = _choices(field)
    if issubclass(kind, Enum):
        return ", ".join(f"`{member.value}`" for member in kind)
    return _KINDS[kind.__name__]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    if field.default is None:
        return ""
    return f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"


if __name__ == "__main__":
    README.write_text(page(README.read_text("utf-8")), "utf-8")
