"""Which services a command starts on this machine, with which models, and where others find them."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rlaifv.adapters.local_services import LocalService, LocalServices, Patience
from rlaifv.cli.environments import interpreter
from rlaifv.cli.inputs import FAKE
from rlaifv.cli.logs import log_warnings_to_stderr
from rlaifv.core.errors import Conflict

SERVICES = ("policy", "decomposer", "labeler", "trainer", "orchestrator")
TRITON = "triton"
"""The tritonserver that a labeler on Triton asks; started with it, unless the labeler's settings name one."""
OWNERS = (*SERVICES, TRITON)
"""Whose settings `--set` can give."""
_STATE = ".services"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """What to start, with which models (addresses as `check_model` gives them). `elsewhere` are endpoints of services that
    run already; `threads` bounds each model service.

    `settings` are further settings by service, lower-case names; they win over what follows from the other fields.
    """

    runs: Path
    policy: str | None = None
    labeler: str | None = None
    threads: int | None = None
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def services(self, names: Collection[str] = SERVICES) -> list[LocalService]:
        """Those of `names` that do not run elsewhere, and the tritonserver that one of them needs.

        Raises NotFound where the environment of a model server is missing.
        """
        here = [name for name in SERVICES if name in names and name not in self.elsewhere]
        services = [self._service(name, set(here)) for name in here]
        return [self._tritonserver(), *services] if "labeler" in here and self._needs_triton else services

    def _service(self, name: str, started: set[str]) -> LocalService:
        wiring = {setting: peer for setting, peer in _PEERS[name].items() if peer in started}
        known = {setting: self.elsewhere[peer] for setting, peer in _PEERS[name].items() if peer in self.elsewhere}
        settings = self._own(name) | known
        if name == "labeler" and (wiring or known):
            settings["decomposer"] = "remote"
        if name == "labeler" and self._needs_triton:
            wiring["triton_target"] = TRITON
        return LocalService(
            name=name,
            settings=settings | dict(self.settings.get(name, {})),
            wiring=wiring,
            threads=self._threads(name),
            python=interpreter("vllm") if self._backend(name) == "vllm" else "",
        )

    def _tritonserver(self) -> LocalService:
        model = {} if self.labeler is None else {"model": self.labeler}
        return LocalService(
            name=TRITON,
            module="rlaifv.adapters.triton.server",
            settings=model | dict(self.settings.get(TRITON, {})),
            threads=self._threads(TRITON),
            python=interpreter("triton"),
        )

    def _backend(self, name: str) -> str:
        return self.settings.get(name, {}).get("backend", "")

    @property
    def _needs_triton(self) -> bool:
        return self._backend("labeler") == "triton" and "triton_target" not in self.settings["labeler"]

    def _own(self, name: str) -> dict[str, str]:
        model = {"policy": self.policy, "labeler": self.labeler, "trainer": self.policy}.get(name)
        # Fake models need no folder, and a fake policy's weights cannot be trained for real.
        own = {"backend": "fake"} if model and model.startswith(FAKE) else {}
        if model and name != "trainer" and not (name == "labeler" and self._backend(name) == "triton"):
            own["model"] = model
        return own | ({"runs_folder": str(self.runs.absolute())} if name == "orchestrator" else {})

    def _threads(self, name: str) -> int | None:
        """Policy and labeler work at the same time and share the cores; the trainer works alone."""
        cores = os.cpu_count() or 1
        if name == "labeler" and self._backend(name) == "triton":
            return 1
        if name in ("policy", "labeler", TRITON):
            return self.threads or max(1, cores // 2)
        return self.threads or cores if name == "trainer" else 1


_PEERS: dict[str, dict[str, str]] = {
    "policy": {},
    "decomposer": {},
    "labeler": {"decomposer_target": "decomposer"},
    "trainer": {},
    "orchestrator": {f"{name}_target": name for name in ("policy", "decomposer", "labeler", "trainer")},
}
"""Setting of a service -> the service whose endpoint it takes."""


@asynccontextmanager
async def started(
    services: list[LocalService], logs: Path, runs: Path, patience: Patience | None = None
) -> AsyncIterator[LocalServices]:
    """The services while the block runs; other commands find them by `live_endpoints`."""
    log_warnings_to_stderr()
    if any(service.name == "orchestrator" for service in services):
        refuse_second_orchestrator(runs)
    note = runs / _STATE / f"{os.getpid()}.json"
    async with LocalServices(services, logs, patience) as local:
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps({"pid": os.getpid(), "endpoints": local.endpoints}), encoding="utf-8")
        try:
            yield local
        finally:
            note.unlink(missing_ok=True)


def live_endpoints(runs: Path) -> dict[str, str]:
    """Endpoints of the services that other commands of this machine run for `runs`; empty if there are none."""
    found: dict[str, str] = {}
    for note in sorted((runs / _STATE).glob("*.json")):
        try:
            data = json.loads(note.read_text(encoding="utf-8"))
            if _alive(int(data["pid"])):
                found |= {str(name): str(endpoint) for name, endpoint in data["endpoints"].items()}
        except (OSError, ValueError, KeyError):
            continue  # it is being written or removed just now
    return found


def refuse_second_orchestrator(runs: Path) -> None:
    """Two on one ledger would both take its runs up; and the other's labeler may be another model. Raises Conflict."""
    other = live_endpoints(runs).get("orchestrator")
    if other is not None:
        raise Conflict(
            f"--runs = {str(runs)!r}: an orchestrator is at work there ({other}); wait for its end, "
            f"use it with --endpoint {other}, or name another folder with --runs"
        )


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
