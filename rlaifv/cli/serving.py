"""`rlaifv serve`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlaifv.cli.output import Json, emit, err, faults_reported
from rlaifv.cli.run_folders import DEFAULT_RUNS, RunsFolder

if TYPE_CHECKING:
    from rlaifv.adapters.local_services import LocalService
    from rlaifv.cli.local_stack import Stack


class Service(StrEnum):
    """What can be served."""

    POLICY = "policy"
    DECOMPOSER = "decomposer"
    LABELER = "labeler"
    TRAINER = "trainer"
    ORCHESTRATOR = "orchestrator"
    ALL = "all"


@faults_reported
def serve(
    service: Annotated[Service, typer.Argument(help="One service, or all five wired to each other.")],
    model: Annotated[str | None, typer.Option(metavar="FOLDER", help="Model of the policy or the labeler.")] = None,
    labeler_model: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="With all: model of the labeler; default: that of the policy.")
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="gRPC port; with all the first of five, 0 takes free ones.")
    ] = 50_051,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of each model service.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="A further setting; with all: SERVICE.NAME=VALUE. Repeatable."
        ),
    ] = None,
    runs: RunsFolder = DEFAULT_RUNS,
    as_json: Json = False,
) -> None:
    """Run services on this machine until Ctrl-C or SIGTERM, restarting one that dies.

    Logs go to files; their folder is printed. With --json one object with all endpoints is printed as soon as they serve.

    [dim]Examples:[/dim]

      rlaifv serve labeler --model demo/checkpoints/stronger

      rlaifv serve all --model demo/checkpoints/policy --labeler-model demo/checkpoints/stronger

      rlaifv serve decomposer --port 0 --set max_queue=100

      rlaifv serve policy --model FOLDER --set backend=vllm

      rlaifv serve labeler --model FOLDER --set backend=triton --set triton.precision=bf16
    """
    from rlaifv.cli.local_stack import SERVICES
    from rlaifv.cli.signals import Interrupted, run_until_signal

    names = SERVICES if service is Service.ALL else (service.value,)
    stack = _stack(service, model, labeler_model, port, threads, settings or [], runs)
    try:
        run_until_signal(_serve(stack.services(names), runs, as_json))
    except Interrupted:
        if not as_json:
            err().print("stopped")


def _stack(
    service: Service,
    model: str | None,
    labeler_model: str | None,
    port: int,
    threads: int | None,
    settings: list[str],
    runs: Path,
) -> Stack:
    from rlaifv.cli.further_settings import read_further
    from rlaifv.cli.inputs import check_model
    from rlaifv.cli.local_stack import SERVICES, TRITON, Stack

    policy = None if model is None else check_model(model)
    labeler = policy if labeler_model is None else check_model(labeler_model, "--labeler-model")
    names = SERVICES if service is Service.ALL else (service.value,)
    owners = (*names, TRITON) if Service.LABELER in names else names
    further = read_further(settings, owners, owner="" if service is Service.ALL else service.value)
    if port:
        for place, name in enumerate(names):
            further[name].setdefault("port", str(port + place))
    return Stack(runs=runs, policy=policy, labeler=labeler, threads=threads, settings=further)


async def _serve(services: list[LocalService], runs: Path, as_json: bool) -> None:
    from rlaifv.cli.local_stack import started

    logs = runs / ".services" / "logs"
    async with started(services, logs, runs) as local:
        if as_json:
            emit({"endpoints": local.endpoints, "metrics": local.metrics, "pids": local.processes, "logs": str(logs)})
        else:
            for name, endpoint in local.endpoints.items():
                err().print(f"{name:<13} {endpoint}   metrics http://{local.metrics[name]}/metrics")
            err().print(f"logs: {logs}; Ctrl-C stops", style="dim")
        await local.failed()
