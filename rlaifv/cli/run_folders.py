"""Where runs are kept, and how a command finds the one that was named."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rlaifv.core.errors import NotFound

RunsFolder = Annotated[
    Path, typer.Option("--runs", envvar="RLAIFV_RUNS", help="Folder that holds all runs.", show_default=True)
]
DEFAULT_RUNS = Path("runs")


def find_run(name: str, runs: Path) -> Path:
    """The folder of a run, given its name or its folder. Raises NotFound and says which runs there are."""
    for folder in (runs / name, Path(name)):
        if is_run(folder):
            return folder
    known = ", ".join(folder.name for folder in run_folders(runs)) or "none"
    raise NotFound(f"run = {name!r}: there is no such run in {runs}/ (there: {known}); name another or set --runs")


def run_folders(runs: Path) -> list[Path]:
    """All runs, newest first."""
    folders = [folder for folder in runs.glob("*") if is_run(folder)]
    return sorted(folders, key=lambda folder: (-folder.stat().st_mtime, folder.name))


def is_run(folder: Path) -> bool:
    """Whether the folder was made by a run."""
    return (folder / "run.yaml").exists() or (folder / "summary.json").exists()
