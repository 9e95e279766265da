"""The command line. Importing it is cheap: every command imports what it needs when it runs."""

from __future__ import annotations


def main() -> None:
    """Entry point of the `rlaifv` script. Exit codes: 0 done, 1 failed, 2 wrong use."""
    from rlaifv.cli.app import app

    app(prog_name="rlaifv")
