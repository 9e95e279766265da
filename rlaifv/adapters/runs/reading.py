"""Run file from YAML text: every mistake is named with line, field, value and remedy, all of them at once."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from rlaifv.adapters.runs.run_file import RunFile
from rlaifv.core.errors import InvalidInput, NotFound
from rlaifv.core.scoring import Aggregate

MAX_RUN_FILE_BYTES = 1 << 20
"""A run file is settings, not data."""

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:")


def read_run_file(path: Path) -> RunFile:
    """The run file at `path`, its relative paths resolved against its folder.

    Raises NotFound if there is no such file and InvalidInput for everything that is wrong in it.
    """
    try:
        text = path.read_text("utf-8")
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as exc:
        raise NotFound(f"run file {path}: there is no such file") from exc
    except UnicodeDecodeError as exc:
        raise InvalidInput(f"run file {path}: not UTF-8 text ({exc.reason} at byte {exc.start})") from exc
    return parse_run_file(text, path.parent, source=str(path))


def parse_run_file(text: str, base_folder: Path, source: str = "run file") -> RunFile:
    """The run file in `text`; relative paths in it count from `base_folder`. Raises InvalidInput."""
    if len(text) > MAX_RUN_FILE_BYTES:
        raise InvalidInput(f"{source}: {len(text)} characters, at most {MAX_RUN_FILE_BYTES} are read")
    data, lines = _load(text, source)
    try:
        run = RunFile.model_validate(data)
    except ValidationError as exc:
        messages = [_explain(error, lines, source) for error in exc.errors()]
        raise InvalidInput("\n".join(messages)) from exc
    run = _resolve(run, base_folder)
    _check_together(run)
    return run


def dump_run_file(run: RunFile) -> str:
    """YAML text of which `parse_run_file` makes an equal run file."""
    return yaml.safe_dump(run.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _check_together(run: RunFile) -> None:
    """What no single field shows."""
    run.training.hyperparameters(seed=0)
    difference = run.pair_rule.min_score_difference
    if run.aggregate is Aggregate.RATE and difference >= 1:
        raise InvalidInput.field(
            "pair_rule.min_score_difference",
            difference,
            "with aggregate 'rate' scores are between -1 and 0; give a difference under 1, for example 0.25",
        )


def _load(text: str, source: str) -> tuple[dict[str, Any], dict[tuple[str | int, ...], int]]:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except RecursionError as exc:
        raise InvalidInput(f"{source}: nested too deeply") from exc
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f"{source}:{mark.line + 1}" if mark is not None else source
        problem = getattr(exc, "problem", None) or str(exc)
        raise InvalidInput(f"{where}: not YAML: {problem}") from exc
    if not isinstance(data, dict) or node is None:
        raise InvalidInput(f"{source}: must be a mapping of fields, found {type(data).__name__}")
    lines: dict[tuple[str | int, ...], int] = {}
    for path, line in _node_lines(node, (), set()):
        if path in lines and isinstance(path[-1], str):
            raise InvalidInput(f"{source}:{line}: {_dotted(path)}: given twice, first in line {lines[path]}")
        lines[path] = line
    return data, lines


def _node_lines(
    node: yaml.Node, path: tuple[str | int, ...], seen: set[int]
) -> Iterator[tuple[tuple[str | int, ...], int]]:
    # A node that aliases repeat is walked once: aliases may nest without end.
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*path, str(key.value))
            yield here, key.start_mark.line + 1
            yield from _node_lines(value, here, seen)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*path, index), value.start_mark.line + 1
            yield from _node_lines(value, (*path, index), seen)


def _explain(error: Mapping[str, Any], lines: Mapping[tuple[str | int, ...], int], source: str) -> str:
    path = tuple(error["loc"])
    line = next((lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in lines), None)
    where = source if line is None else f"{source}:{line}"
    name = _dotted(path)
    if error["type"] == "extra_forbidden":
        return f"{where}: {name}: no such field{_nearest(path)}"
    if error["type"] == "missing":
        return f"{where}: {name}: missing; {_purpose(path)}"
    return f"{where}: {InvalidInput.field(name, error['input'], error['msg']).message}"


def _dotted(path: tuple[str | int, ...]) -> str:
    return ".".join(str(part) for part in path)


def _section(path: tuple[str | int, ...]) -> type[BaseModel] | None:
    """The section that the last part of `path` is a field of."""
    model: type[BaseModel] = RunFile
    for part in path[:-1]:
        field = model.model_fields.get(str(part))
        if field is None:
            return None
        choices = [field.annotation, *get_args(field.annotation)]
        found = next((c for c in choices if isinstance(c, type) and issubclass(c, BaseModel)), None)
        if found is None:
            return None
        model = found
    return model


def _nearest(path: tuple[str | int, ...]) -> str:
    section = _section(path)
    if section is None:
        return ""
    known = list(section.model_fields)
    close = difflib.get_close_matches(str(path[-1]), known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(known)}"


def _purpose(path: tuple[str | int, ...]) -> str:
    section = _section(path)
    field = section.model_fields.get(str(path[-1])) if section else None
    return field.description or "it has no default" if field else "it has no default"


def _resolve(run: RunFile, base: Path) -> RunFile:
    prompts = run.prompts.model_copy(
        update={name: base / value for name, value in run.prompts if isinstance(value, Path)}
    )
    local = run.local
    if local.labeler_model is not None:
        local = local.model_copy(update={"labeler_model": base / local.labeler_model})
    policy = run.policy if _SCHEME.match(run.policy) else str(base / run.policy)
    return run.model_copy(update={"policy": policy, "prompts": prompts, "local": local})
