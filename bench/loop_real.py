"""The loop's bench over the demo's real models: service processes with one thread each, asked by both sides alike.

Two cores do two things at once, and a process for each stage leaves both busy: what streaming can give here is bounded by 2.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from bench.loop_sides import Turn, run_file, streamed
from demo.world.datasets import prompt_table
from demo.world.scenes import Split
from rlaifv.adapters.local_process import LocalProcess, LocalService, Patience
from rlaifv.adapters.runs.run_file import RunFile
from services.orchestrator.connections import connect
from services.orchestrator.context import Ports
from services.orchestrator.settings import OrchestratorSettings

CHECKPOINTS = Path(__file__).parent.parent / "demo" / "checkpoints"
_SERVICES = (
    LocalService(name="policy", settings={"backend": "huggingface", "model": str(CHECKPOINTS / "policy")}, threads=1),
    LocalService(
        name="labeler", settings={"backend": "huggingface", "model": str(CHECKPOINTS / "stronger")}, threads=1
    ),
    LocalService(name="decomposer", settings={"backend": "grammar"}, threads=1),
    LocalService(name="trainer", settings={"backend": "huggingface"}, threads=1),
)
_TRAINING = {"learning_rate": 1e-4, "sft_weight": 0.1, "epochs": 2, "batch_size": 8, "micro_batch_size": 8}


@contextlib.contextmanager
def demo_services(folder: Path) -> Iterator[dict[str, str]]:
    """The demo's services, ready; their addresses by name. They live in an event loop of their own, in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    started = [LocalProcess(one, folder, Patience(drain_s=5)) for one in _SERVICES]

    async def start() -> None:
        await asyncio.gather(*(process.start({}) for process in started))

    async def stop() -> None:
        await asyncio.gather(*(process.stop() for process in started))

    try:
        asyncio.run_coroutine_threadsafe(start(), loop).result()
        yield {one.name: process.endpoint for one, process in zip(_SERVICES, started, strict=True)}
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextlib.asynccontextmanager
async def connected(run: RunFile) -> AsyncIterator[Ports]:
    """Clients of the services that the run names, for one turn."""
    connection = connect(OrchestratorSettings(), run)
    try:
        yield connection.ports
    finally:
        await connection.close()


def demo_run(folder: Path, services: dict[str, str], seed: int, **fields: Any) -> RunFile:
    """A run of the demo's policy and stronger labeler over prompts of its world, written to `folder`."""
    train = fields["prompts_per_iteration"] * fields["iterations"]
    sets = {
        "train": (Split.PROMPTS, train),
        "validation": (Split.VALIDATION, 60),
        "evaluation": (Split.EVALUATION, 200),
    }
    for name, (split, size) in sets.items():
        table = prompt_table(split, seed, size, with_truth=split is Split.EVALUATION)
        pq.write_table(table, folder / f"{name}.parquet")
    return run_file(
        folder,
        name="bench",
        seed=seed,
        policy=str(CHECKPOINTS / "policy"),
        sampling={"temperature": 0.7, "max_new_tokens": 96},
        training=_TRAINING,
        services=services,
        **fields,
    )


def show_staleness(folder: Path, seed: int) -> None:
    """Three rounds of the demo in small, once with each bound: what they take and what comes out."""
    table = Table(title="the demo in small, 3 rounds of 120 prompts: what staleness does")
    for column in ("max_staleness", "s", "hallucinating answers, round by round", "coverage", "promoted"):
        table.add_column(column, justify="right")
    prompts = {name: f"{name}.parquet" for name in ("train", "validation", "evaluation")}
    with demo_services(folder) as services:
        for bound in (0, 1):
            sizes = {"iterations": 3, "prompts_per_iteration": 120, "max_staleness": bound, "prompts": prompts}
            run = demo_run(folder, services, seed, **sizes)
            home = folder / f"staleness-{bound}"
            turn = asyncio.run(_streamed(run, home))
            rounds = json.loads((home / run.name / "summary.json").read_text())["rounds"]
            table.add_row(
                str(bound),
                f"{turn.seconds:.0f}",
                " → ".join(f"{one['eval']['response_hallucination']:.1%}" for one in rounds),
                " → ".join(f"{one['eval']['coverage']:.1%}" for one in rounds),
                str(sum(one["promoted"] for one in rounds[1:])),
            )
    Console(width=120).print(table)


async def _streamed(run: RunFile, folder: Path) -> Turn:
    async with connected(run) as ports:
        return await streamed(run, ports, folder)
