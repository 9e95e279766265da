"""`rlaifv version`."""

from __future__ import annotations

from rlaifv.cli.output import Json, emit, faults_reported, out

_PARTS = (
    "torch", "torchvision", "transformers", "peft", "spacy", "openai", "tritonclient", "dbos", "grpcio", "pyarrow", "matplotlib",
)  # fmt: skip


@faults_reported
def version(as_json: Json = False) -> None:
    """Print the version, and those of the libraries that results depend on."""
    import platform
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    from rlaifv import __version__

    found: dict[str, str | None] = {}
    for part in _PARTS:
        try:
            found[part] = installed(part)
        except PackageNotFoundError:
            found[part] = None
    if as_json:
        emit({"rlaifv": __version__, "python": platform.python_version(), "libraries": found})
        return
    console = out()
    console.print(f"rlaifv {__version__}", style="bold")
    console.print(f"Python {platform.python_version()} on {platform.platform()}")
    for part, number in found.items():
        console.print(f"{part} {number or 'not installed'}", style="" if number else "dim")
