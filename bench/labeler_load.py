"""What a labeler does under many clients at once: `python -m bench.labeler_load`.

Every client has a picture of its own, each wave has new ones, and every reply is compared with the one that the same request got
alone. Three processes: the service, the clients, and one that probes as Kubernetes and Prometheus do. The replies to compare with
come from a service of its own, so that nothing is known when the waves begin; with --target they come from the same one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.load_waves import Errand, Reply, Wave, alone, errands, metrics, probing, refusals, wave
from rlaifv.adapters.local_process import LocalProcess, LocalService, Patience


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where a labeler answers, and where its metrics are ("" where nobody said)."""

    target: str
    metrics: str = ""


@dataclass(slots=True)
class Report:
    """All that was measured. `probes` by kind, as bench.probing prints them."""

    clients: int
    channels: int
    waves: list[Wave] = field(default_factory=list)
    probes: dict[str, Any] = field(default_factory=dict)
    rss_before: int | None = None

    @property
    def good(self) -> bool:
        """No wrong answer, no error, no probe that failed."""
        return all(one.good for one in self.waves) and not any(kind["failures"] for kind in self.probes.values())


@asynccontextmanager
async def service(model: str, settings: dict[str, str]) -> AsyncIterator[Addresses]:
    """A labeler as a process of its own: `model` embedded, or the fake where it is ""."""
    chosen = {"backend": "huggingface", "model": model} if model else {"backend": "fake", "decomposer": "fake"}
    with tempfile.TemporaryDirectory() as folder:
        process = LocalProcess(
            LocalService(name="labeler", settings=chosen | settings, threads=1), Path(folder), Patience(drain_s=5)
        )
        try:
            await process.start({})
            yield Addresses(target=process.endpoint, metrics=process.metrics_endpoint)
        finally:
            await process.stop()


async def measure(
    where: Addresses, waves: Sequence[Sequence[Errand]], right: Sequence[list[Reply]], channels: int
) -> Report:
    """All waves one after another, probed from before the first until after the last."""
    report = Report(clients=len(waves[0]), channels=channels or len(waves[0]))
    before = await _figures(where)
    report.rss_before = before.get("rss")
    async with probing(where.target, *filter(None, [where.metrics])) as report.probes:
        for wanted, replies in zip(waves, right, strict=True):
            one = await wave(where.target, wanted, replies, channels)
            after = await _figures(where)
            one.rss_bytes = after.get("rss")
            one.refused = after["refused"] - before["refused"] if after else None
            before = after
            report.waves.append(one)
    return report


async def _figures(where: Addresses) -> dict[str, int]:
    if not where.metrics:
        return {}
    found = await metrics(where.metrics)
    return {"rss": int(found["process_resident_memory_bytes"]), "refused": refusals(found)}


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` of the values do not exceed (nearest rank); NaN of none."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))] if ranked else float("nan")


def _waves_table(report: Report) -> Table:
    table = Table(title=f"{report.clients} clients at once over {report.channels} connections")
    for column in ("wave", "answers", "wrong", "refused", "claims/s", "p50 s", "p99 s", "RSS MB", "other statuses"):
        table.add_column(column, justify="right")
    table.add_row("before", *[""] * 6, _megabytes(report.rss_before), "")
    for number, one in enumerate(report.waves, start=1):
        other = ", ".join(f"{count} {name}" for name, count in one.statuses.items() if name != "OK")
        table.add_row(
            str(number),
            str(one.statuses["OK"]),
            str(one.wrong),
            "?" if one.refused is None else str(one.refused),
            f"{one.claims / one.seconds:.0f}",
            f"{quantile(one.latencies, 0.5):.2f}",
            f"{quantile(one.latencies, 0.99):.2f}",
            _megabytes(one.rss_bytes),
            other,
            style="" if one.good else "red",
        )
    return table


def _megabytes(value: int | None) -> str:
    return "?" if value is None else f"{value / 2**20:.0f}"


def _probes_table(report: Report) -> Table:
    table = Table(title="probes meanwhile, one of each kind every 100 ms")
    for column in ("probe", "asked", "failed", "p50 ms", "p99 ms", "max ms", "prober late ms"):
        table.add_column(column, justify="left" if column == "probe" else "right")
    for kind, found in report.probes.items():
        seconds = found["seconds"]
        figures = (quantile(seconds, 0.5), quantile(seconds, 0.99), max(seconds), found["late_s"])
        table.add_row(
            kind, str(len(seconds)), str(len(found["failures"])), *(f"{1000 * value:.0f}" for value in figures)
        )
    return table


def _record(report: Report) -> dict[str, Any]:
    waves = [
        {
            "answers": one.statuses["OK"],
            "wrong": one.wrong,
            "statuses": dict(one.statuses),
            "refused": one.refused,
            "seconds": round(one.seconds, 3),
            "claims_per_s": round(one.claims / one.seconds, 1),
            "p50_s": round(quantile(one.latencies, 0.5), 4),
            "p99_s": round(quantile(one.latencies, 0.99), 4),
            "rss_bytes": one.rss_bytes,
        }
        for one in report.waves
    ]
    probes = {
        kind: {
            "asked": len(found["seconds"]),
            "failures": found["failures"],
            "p50_ms": round(1000 * quantile(found["seconds"], 0.5), 1),
            "p99_ms": round(1000 * quantile(found["seconds"], 0.99), 1),
            "max_ms": round(1000 * max(found["seconds"]), 1),
            "prober_late_ms": round(1000 * found["late_s"], 1),
        }
        for kind, found in report.probes.items()
    }
    return {
        "clients": report.clients,
        "channels": report.channels,
        "good": report.good,
        "rss_before_bytes": report.rss_before,
        "waves": waves,
        "probes": probes,
    }


async def run(arguments: argparse.Namespace) -> Report:
    """Get the right replies, then measure."""
    waves = [errands(arguments.clients, arguments.seed + number) for number in range(arguments.waves)]
    settings = {"max_queue": str(arguments.max_queue)} if arguments.max_queue else {}
    if arguments.target:
        where = Addresses(target=arguments.target, metrics=arguments.metrics)
        right = [await alone(where.target, wanted) for wanted in waves]
        return await measure(where, waves, right, arguments.channels)
    async with service(arguments.model, settings) as reference:
        right = [await alone(reference.target, wanted) for wanted in waves]
    async with service(arguments.model, settings) as where:
        return await measure(where, waves, right, arguments.channels)


def main() -> int:
    """Print what was measured; 1 if any answer was wrong or missing or a probe failed."""
    parser = argparse.ArgumentParser(description="Answers, probes and memory of a labeler under many clients at once.")
    parser.add_argument("--clients", type=int, default=1000, help="clients at once, each with a picture of its own")
    parser.add_argument("--waves", type=int, default=3, help="how often, each time with new pictures")
    parser.add_argument(
        "--channels", type=int, default=0, help="connections that clients share; 0: one for each client"
    )
    parser.add_argument(
        "--model", default="", help="model folder of an embedded labeler; without one, the fake backend"
    )
    parser.add_argument(
        "--max-queue", type=int, default=0, help="of the service that is started, so that it refuses more"
    )
    parser.add_argument(
        "--target", default="", help="host:port of a labeler that runs already, instead of starting one"
    )
    parser.add_argument("--metrics", default="", help="host:port of its metrics, for its memory and refusals")
    parser.add_argument("--seed", type=int, default=0, help="of pictures and questions")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    arguments = parser.parse_args()
    report = asyncio.run(run(arguments))
    if arguments.json:
        sys.stdout.write(json.dumps(_record(report), indent=2) + "\n")
    else:
        console = Console() if sys.stdout.isatty() else Console(width=110)
        console.print(_waves_table(report))
        console.print(_probes_table(report))
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(main())
