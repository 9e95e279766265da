"""`rlaifv train`: DPO on a file of preference pairs, without the loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlaifv.cli.output import FAILED, Json, emit, err, faults_reported, out
from rlaifv.core.errors import BackendFailed, InvalidInput, NotFound
from rlaifv.core.training import Hyperparameters, Lora, Precision, TrainingPhase

if TYPE_CHECKING:
    from rlaifv.core.training import TrainingJob, TrainingProgress

_PAPER = Hyperparameters()


@faults_reported
def train(
    pairs: Annotated[
        Path, typer.Argument(metavar="PAIRS.parquet", help="Pairs with image, question, chosen, rejected.")
    ],
    model: Annotated[str, typer.Option(metavar="FOLDER", help="Model to start from; also DPO's reference.")],
    target: Annotated[
        Path, typer.Option("--out", help="Folder for the checkpoint (in model/) and what resuming needs.")
    ],
    beta: Annotated[float, typer.Option(help="DPO's temperature.")] = _PAPER.beta,
    sft_weight: Annotated[float, typer.Option(help="Weight of the chosen answer's own loss.")] = _PAPER.sft_weight,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = _PAPER.learning_rate,
    epochs: Annotated[int, typer.Option(help="Passes over the pairs.")] = _PAPER.epochs,
    batch_size: Annotated[int, typer.Option(help="Pairs for each optimiser step.")] = _PAPER.batch_size,
    micro_batch_size: Annotated[int, typer.Option(help="Pairs through the model at once.")] = _PAPER.micro_batch_size,
    max_tokens: Annotated[int, typer.Option(help="Longer pairs are left out and counted.")] = _PAPER.max_tokens,
    precision: Annotated[Precision, typer.Option(help="Number format.")] = _PAPER.precision,
    train_vision: Annotated[bool, typer.Option(help="Let the vision tower learn too.")] = False,
    lora_rank: Annotated[int, typer.Option(min=0, help="Rank of LoRA; 0: full training.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of order and dropout.")] = 0,
    endpoint: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="A trainer service; default: start one for this job.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of the trainer started here.")] = None,
    as_json: Json = False,
) -> None:
    """Train on a file of preference pairs (DPO), for example one of the public RLAIF-V-Dataset or an export of a run.

    The same command again goes on where it stopped. With --endpoint the paths are read by that service.

    [dim]Examples:[/dim]

      rlaifv train pairs.parquet --model demo/checkpoints/policy --out trained --learning-rate 1e-5

      rlaifv train RLAIF-V-Dataset_000.parquet --model llava-1.5-7b --out aligned --lora-rank 64
    """
    from rlaifv.cli.signals import Interrupted, run_until_signal

    hyperparameters = Hyperparameters(
        beta=beta,
        sft_weight=sft_weight,
        learning_rate=learning_rate,
        epochs=epochs,
        batch_size=batch_size,
        micro_batch_size=micro_batch_size,
        max_tokens=max_tokens,
        precision=precision,
        train_vision=train_vision,
        lora=Lora(rank=lora_rank) if lora_rank else None,
        seed=seed,
    )
    job = _job(pairs, model, target, hyperparameters, here=endpoint is None)
    try:
        last = run_until_signal(_train(job, target, endpoint, threads, as_json))
    except Interrupted:
        err().print("Stopped, nothing is lost; the same command goes on.", style="yellow")
        raise typer.Exit(FAILED) from None
    except asyncio.CancelledError as exc:
        raise BackendFailed("training was broken off") from exc
    _report(last, as_json)


def _job(pairs: Path, model: str, target: Path, hyperparameters: Hyperparameters, here: bool) -> TrainingJob:
    from rlaifv.cli.inputs import check_model
    from rlaifv.core.checkpoints import Checkpoint
    from rlaifv.core.claims import content_id
    from rlaifv.core.training import TrainingJob

    if here:
        from rlaifv.adapters.preferences import count_preferences

        if not pairs.is_file():
            raise NotFound(f"PAIRS.parquet = {str(pairs)!r}: there is no such file")
        if count_preferences(pairs) == 0:
            raise InvalidInput.field("PAIRS.parquet", str(pairs), "holds no pairs")
        pairs, model, target = pairs.absolute(), check_model(model), target.absolute()
    return TrainingJob(
        id=f"train-{content_id(str(target))}",
        policy=Checkpoint(uri=model, digest=""),
        pairs_uri=str(pairs),
        output_uri=str(target),
        hyperparameters=hyperparameters,
    )


async def _train(
    job: TrainingJob, target: Path, endpoint: str | None, threads: int | None, quiet: bool
) -> TrainingProgress:
    from rlaifv.adapters.remote.trainer import RemoteTrainer
    from rlaifv.cli.training_view import TrainingView

    async with _trainer_target(endpoint, job, target, threads) as address:
        trainer = RemoteTrainer(address, patience_s=3.0 if endpoint else 120.0)
        try:
            await trainer.start(job)
            last: TrainingProgress | None = None
            with TrainingView(quiet) as view:
                async for progress in trainer.watch(job.id):
                    view.show(progress)
                    last = progress
        finally:
            await trainer.close()
    if last is None:
        raise BackendFailed(f"the trainer at {address} reported nothing")
    return last


@asynccontextmanager
async def _trainer_target(
    endpoint: str | None, job: TrainingJob, target: Path, threads: int | None
) -> AsyncIterator[str]:
    if endpoint is not None:
        yield endpoint
        return
    from rlaifv.adapters.local_services import LocalServices
    from rlaifv.cli.local_stack import Stack
    from rlaifv.cli.logs import log_warnings_to_stderr

    log_warnings_to_stderr()
    services = Stack(runs=target, policy=job.policy.uri, threads=threads).services(["trainer"])
    async with LocalServices(services, target / "logs") as local:
        yield local.endpoints["trainer"]


def _report(last: TrainingProgress, as_json: bool) -> None:
    if last.phase is not TrainingPhase.DONE or last.checkpoint is None:
        raise last.error or BackendFailed(f"training is {last.phase}: {last.message or 'no reason was given'}")
    if as_json:
        emit(
            {
                "checkpoint": {"uri": last.checkpoint.uri, "digest": last.checkpoint.digest},
                "steps": last.total_steps,
                "loss": last.loss,
                "reward_margin": last.reward_margin,
                "accuracy": last.accuracy,
                "dropped": last.dropped,
                "resumed_from_step": last.resumed_from_step,
            }
        )
        return
    out().print(
        f"{last.total_steps} steps; loss {last.loss:.4f}, reward margin {last.reward_margin:+.3f}, "
        f"pairs ranked rightly {last.accuracy * 100:.0f} %"
    )
    if last.dropped:
        out().print("left out: " + ", ".join(f"{reason} {n}" for reason, n in sorted(last.dropped.items())))
    out().print(f"Checkpoint: {last.checkpoint.uri}", style="bold", soft_wrap=True)
