"""A Postgres of our own for one measurement: a cluster in a temporary folder, gone with the `with` block."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

INSTALL = "apt-get install postgresql (or any other way that puts initdb and pg_ctl on the PATH)"
_DEBIAN = Path("/usr/lib/postgresql")
_SERVANT = "postgres"
"""Postgres does not run as root; packages bring this user."""


def binaries() -> Path | None:
    """Where initdb and pg_ctl are: on the PATH, or the newest that Debian has installed beside it; None if nowhere."""
    on_path = shutil.which("initdb")
    if on_path and (Path(on_path).resolve().parent / "pg_ctl").is_file():
        return Path(on_path).resolve().parent
    versions = sorted(_DEBIAN.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    return versions[-1].parent if versions else None


@contextlib.contextmanager
def throw_away_postgres(programs: Path) -> Iterator[str]:
    """The URL of an empty database. Durable as by default: what is committed is on the disk."""
    user = _SERVANT if os.geteuid() == 0 else None
    port = _free_port()
    folder = Path(tempfile.mkdtemp(prefix="rlaifv-postgres-"))
    data = folder / "data"

    def run(program: str, *arguments: str) -> None:
        done = subprocess.run(
            [programs / program, *arguments],
            user=user,
            cwd=folder,
            # Not a pipe: the server would inherit it and hold it open.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{program} ended with {done.returncode}, as user {user or getpass.getuser()}")

    try:
        if user:
            shutil.chown(folder, user)
        run("initdb", "-D", str(data), "-A", "trust", "-U", "bench", "-E", "UTF8")
        options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder}"
        run("pg_ctl", "-D", str(data), "-l", str(folder / "log"), "-w", "-o", options, "start")
        try:
            yield f"postgresql://bench@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
