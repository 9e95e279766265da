"""`rlaifv run` and `rlaifv resume`: begin a run or go on with one, and follow it to its end."""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlaifv.cli.output import FAILED, Json, err, faults_reported
from rlaifv.cli.run_folders import DEFAULT_RUNS, RunsFolder, find_run

if TYPE_CHECKING:
    from rlaifv.adapters.orchestrator_client import OrchestratorClient, RunState
    from rlaifv.adapters.runs.run_file import RunFile
    from rlaifv.cli.local_stack import Stack

Endpoint = Annotated[
    str | None,
    typer.Option(
        envvar="RLAIFV_ENDPOINT",
        metavar="HOST:PORT",
        help="An orchestrator that runs already; default: start all here.",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SERVICE.NAME=VALUE",
        help="A setting of a service started here, over the run file's local.settings. Repeatable.",
    ),
]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads of each model service started here.")]
Begin = Callable[["OrchestratorClient"], Awaitable["RunState"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """How services are started on this machine; `settings` as `--set` takes them."""

    runs: Path
    threads: int | None
    settings: list[str]

    def options(self) -> str:
        """The options that another command needs to start them alike, with a space before each."""
        runs = f" --runs {shlex.quote(str(self.runs))}" if self.runs != DEFAULT_RUNS else ""
        threads = f" --threads {self.threads}" if self.threads else ""
        return runs + threads + "".join(f" --set {shlex.quote(text)}" for text in self.settings)


@faults_reported
def run(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The run file (YAML).")],
    endpoint: Endpoint = None,
    threads: Threads = None,
    settings: Settings = None,
    runs: RunsFolder = DEFAULT_RUNS,
    as_json: Json = False,
) -> None:
    """Align a model as a run file says, and show how it goes.

    Unless --endpoint names an orchestrator, the services are started on this machine (those that the run file gives an address
    for are used where they are). Ctrl-C stops at a safe place: `rlaifv resume NAME` goes on. The same file again goes on too.

    [dim]Examples:[/dim]

      rlaifv run demo/runs/stronger.yaml

      rlaifv run my-run.yaml --endpoint orchestrator.example:50055 --json

      rlaifv run demo/runs/stronger.yaml --set policy.backend=vllm --set labeler.backend=triton
    """
    from rlaifv.adapters.runs.reading import read_run_file
    from rlaifv.cli.outcome import report_outcome

    wanted = read_run_file(file.resolve())
    text = file.read_text("utf-8")
    base = str(file.resolve().parent)
    if endpoint is None:
        _refuse_taken_name(wanted, runs)
        if (done := _done_already(wanted, runs)) is not None:
            report_outcome(done, as_json)
            return
    here = Here(runs=runs, threads=threads, settings=settings or [])
    _follow_to_end(wanted, here, endpoint, as_json, lambda client: client.start(wanted.name, text, base))


@faults_reported
def resume(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a run that was stopped, cancelled or failed.")],
    endpoint: Endpoint = None,
    threads: Threads = None,
    settings: Settings = None,
    runs: RunsFolder = DEFAULT_RUNS,
    as_json: Json = False,
) -> None:
    """Go on with a run from where it stopped; what is complete is not made again.

    [dim]Example:[/dim]

      rlaifv resume demo-stronger
    """
    from rlaifv.adapters.runs.reading import read_run_file

    async def begin(client: OrchestratorClient) -> RunState:
        state = await client.get(name)
        return await client.resume(name) if state.phase in ("failed", "cancelled") else state

    wanted = read_run_file(find_run(name, runs).resolve() / "run.yaml") if endpoint is None else None
    here = Here(runs=runs, threads=threads, settings=settings or [])
    _follow_to_end(wanted, here, endpoint, as_json, begin, name)


def _refuse_taken_name(wanted: RunFile, runs: Path) -> None:
    """The orchestrator would say so too, but only after all services have started."""
    from rlaifv.adapters.runs.reading import read_run_file
    from rlaifv.core.errors import AlreadyExists, RlaifvError

    stored = runs / wanted.name / "run.yaml"
    if not stored.exists():
        return
    try:
        same = read_run_file(stored).digest == wanted.digest
    except RlaifvError:
        return
    if not same:
        raise AlreadyExists(
            f"name = {wanted.name!r}: a run of this name with other settings is in {stored.parent}; "
            f"choose another name, or go on with that one: rlaifv resume {wanted.name}"
        )


def _done_already(wanted: RunFile, runs: Path) -> RunState | None:
    """The result of the same run, if it was made before: no service has to start for it."""
    from rlaifv.cli.folder_state import ledger_states
    from rlaifv.cli.run_ledger import has_ledger

    if not has_ledger(runs) or not (runs / wanted.name / "run.yaml").exists():
        return None
    known = ledger_states(runs).get(wanted.name)
    return known if known is not None and known.phase == "done" else None


def _follow_to_end(
    wanted: RunFile | None,
    here: Here,
    endpoint: str | None,
    as_json: bool,
    begin: Begin,
    name: str = "",
) -> None:
    from rlaifv.cli.following import follow_here, follow_there
    from rlaifv.cli.outcome import report_outcome
    from rlaifv.cli.signals import Interrupted, run_until_signal

    name = name or (wanted.name if wanted else "")
    try:
        if endpoint is not None or wanted is None:
            state = run_until_signal(follow_there(endpoint or "", name, begin, quiet=as_json))
        else:
            state = run_until_signal(follow_here(_stack(wanted, here), name, begin, quiet=as_json))
    except Interrupted:
        hint = f"go on with: rlaifv resume {name}{here.options()}"
        where = f"The run goes on at {endpoint}; watch it with: rlaifv resume {name} --endpoint {endpoint}"
        err().print(where if endpoint else f"Stopped, nothing is lost; {hint}", style="yellow", soft_wrap=True)
        raise typer.Exit(FAILED) from None
    report_outcome(state, as_json)


def _stack(wanted: RunFile, here: Here) -> Stack:
    from rlaifv.cli.further_settings import joined, read_further
    from rlaifv.cli.inputs import check_model
    from rlaifv.cli.local_stack import OWNERS, Stack

    elsewhere = {service: address for service, address in wanted.services if address is not None}
    labeler = str(wanted.local.labeler_model or wanted.policy)
    if "policy" not in elsewhere:
        check_model(wanted.policy, "policy")
    if "labeler" not in elsewhere:
        check_model(labeler, "local.labeler_model")
    return Stack(
        runs=here.runs,
        policy=wanted.policy,
        labeler=labeler,
        threads=here.threads or wanted.local.threads,
        elsewhere=elsewhere,
        settings=joined(wanted.local.settings, read_further(here.settings, OWNERS)),
    )
