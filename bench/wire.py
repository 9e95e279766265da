"""What it is worth to send a picture once a prompt, not once a claim: `python -m bench.wire`.

Bytes on the wire, claims a second and latencies of the labeler API. The service is a process of its own, real but for its model,
whose verdicts are checksums; the clients are this process. Both share the machine's processors. Every side gets the verdicts of
all claims of the same pictures.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.counting import CountingProxy
from bench.labeler_load import Addresses, quantile
from bench.load_waves import metrics
from bench.message_bytes import message_bytes
from bench.results import Comparison, add_arguments, conclude
from bench.scenes import AskedPicture, asked_pictures
from bench.timing import speedup
from bench.wire_clients import Clients, Load, Way, noise_pictures
from bench.wire_server import verdicts
from rlaifv.adapters.local_process import LocalProcess, LocalService, Patience

BASELINES = {"calls": "one call a claim", "stream": "one streamed item a claim"}


@dataclass(slots=True)
class Rounds:
    """Of one side at one number of clients: seconds and the service's CPU seconds by round, all requests' latencies."""

    seconds: list[float] = field(default_factory=list)
    server_cpu_s: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    wrong: int = 0


@asynccontextmanager
async def service() -> AsyncIterator[Addresses]:
    """The service with checksums for verdicts."""
    with tempfile.TemporaryDirectory() as folder:
        process = LocalProcess(
            LocalService(name="labeler", module="bench.wire_server", settings={"log_level": "warning"}, threads=1),
            Path(folder),
            Patience(drain_s=5),
        )
        try:
            await process.start({})
            yield Addresses(target=process.endpoint, metrics=process.metrics_endpoint)
        finally:
            await process.stop()


def wrong(pictures: Sequence[AskedPicture], load: Load) -> int:
    """Verdicts that are missing or not the checksum."""
    right = {
        (one.image.sha256, verdict.question): verdict
        for one in pictures
        for verdict in verdicts(one.image.sha256, one.questions)
    }
    return sum(load.verdicts.get(key) != verdict for key, verdict in right.items())


async def measure(where: Addresses, clients: int, pictures: Sequence[AskedPicture], rounds: int) -> dict[str, Rounds]:
    """All sides in turns, a warm-up before."""
    asking = Clients(where.target, clients)
    ways: dict[str, Way] = {"whole": asking.whole, "calls": asking.calls, "stream": asking.stream}
    found = {name: Rounds() for name in ways}
    try:
        await asking.whole(pictures)
        for turn in range(rounds):
            for name in ways if turn % 2 == 0 else reversed(ways):
                gc.collect()
                cpu = await _server_cpu(where)
                load = await ways[name](pictures)
                one = found[name]
                one.server_cpu_s.append(await _server_cpu(where) - cpu)
                one.seconds.append(load.seconds)
                one.latencies += load.latencies
                one.wrong += wrong(pictures, load)
    finally:
        await asking.close()
    return found


async def _server_cpu(where: Addresses) -> float:
    return (await metrics(where.metrics))["process_cpu_seconds_total"]


async def bytes_on_the_wire(where: Addresses, pictures: Sequence[AskedPicture]) -> tuple[dict[str, float], int]:
    """Bytes a picture in both directions, HTTP/2 included, by side; and how many verdicts were wrong."""
    found, faults = {}, 0
    for name in ("whole", "calls", "stream"):
        async with CountingProxy(where.target) as proxy:
            asking = Clients(proxy.endpoint, 1)
            ways: dict[str, Way] = {"whole": asking.whole, "calls": asking.calls, "stream": asking.stream}
            faults += wrong(pictures, await ways[name](pictures))
            await asking.close()
            found[name] = proxy.total / len(pictures)
    return found, faults


def bytes_records(
    found: dict[str, float], messages: dict[str, int], equal: bool, arguments: argparse.Namespace
) -> list[Comparison]:
    """Ours against both baselines."""
    shown = ", ".join(f"{name} {count / 1000:,.1f}" for name, count in messages.items())
    sys.stdout.write(f"kB of messages about one prompt: {shown}; in all {sum(messages.values()) / 1000:,.1f}\n")
    return [
        Comparison(
            name="wire, labeler, bytes a prompt",
            baseline=baseline,
            baseline_value=found[side] / 1000,
            ours_value=found["whole"] / 1000,
            unit="kB a prompt",
            ratio=found[side] / found["whole"],
            equal=equal,
            max_abs_diff=0.0,
            dtype="-",
            threads=arguments.threads,
            seed=arguments.seed,
            details={"image_bytes": arguments.image_bytes, "messages": messages},
        )
        for side, baseline in BASELINES.items()
    ]


def load_records(
    clients: int, claims: int, found: dict[str, Rounds], arguments: argparse.Namespace
) -> list[Comparison]:
    """Claims a second of ours against both baselines."""
    ours = found["whole"]
    records = []
    for side, baseline in BASELINES.items():
        theirs = found[side]
        ratio = speedup(theirs.seconds, ours.seconds)
        records.append(
            Comparison(
                name=f"labeler API, {clients} client{'s' if clients > 1 else ''}",
                baseline=baseline,
                baseline_value=claims / statistics.median(theirs.seconds),
                ours_value=claims / statistics.median(ours.seconds),
                unit="claims/s",
                ratio=ratio.median,
                equal=not theirs.wrong and not ours.wrong,
                max_abs_diff=0.0,
                dtype="-",
                threads=arguments.threads,
                seed=arguments.seed,
                details={
                    "low": ratio.low,
                    "high": ratio.high,
                    "server_cpu_ratio": speedup(theirs.server_cpu_s, ours.server_cpu_s).median,
                    "ours_ms": _latencies(ours),
                    "baseline_ms": _latencies(theirs),
                },
            )
        )
    return records


def _latencies(one: Rounds) -> dict[str, float]:
    return {"p50": 1000 * quantile(one.latencies, 0.5), "p99": 1000 * quantile(one.latencies, 0.99)}


def table(rows: Sequence[tuple[int, int, dict[str, Rounds]]]) -> Table:
    """One row for each number of clients and each side."""
    names = {"whole": "ours: one request a prompt"} | BASELINES
    shown = Table(title="labeler API, scripted verdicts")
    for column in ("clients", "side", "claims/s", "requests/s", "p50 ms", "p99 ms", "service CPU us a claim"):
        shown.add_column(column, justify="left" if column == "side" else "right")
    for clients, claims, found in rows:
        for side, one in found.items():
            requests = len(one.latencies) / sum(one.seconds)
            times = _latencies(one)
            cpu = 1e6 * statistics.median(one.server_cpu_s) / claims
            figures = (claims / statistics.median(one.seconds), requests)
            shown.add_row(
                str(clients),
                names[side],
                *(f"{figure:,.0f}" for figure in figures),
                f"{times['p50']:.2f}",
                f"{times['p99']:.2f}",
                f"{cpu:.1f}",
            )
    return shown


async def run(arguments: argparse.Namespace) -> list[Comparison]:
    """Measure everything and show it."""
    most = max(2 * max(arguments.clients), arguments.prompts)
    asked = asked_pictures(1, arguments.seed, answers=arguments.answers, claims=arguments.claims) * most
    pictures = noise_pictures(asked, arguments.image_bytes, arguments.seed)
    rows = []
    async with service() as where:
        wire, faults = await bytes_on_the_wire(where, pictures[: arguments.prompts])
        messages = await message_bytes(arguments.answers, arguments.claims, arguments.image_bytes)
        records = bytes_records(wire, messages, not faults, arguments)
        for clients in arguments.clients:
            part = pictures[: max(arguments.prompts, clients)]
            found = await measure(where, clients, part, arguments.rounds)
            claims = sum(len(set(one.questions)) for one in part)
            rows.append((clients, claims, found))
            records += load_records(clients, claims, found, arguments)
    Console(width=None if sys.stdout.isatty() else 120).print(table(rows))
    return records


def main() -> int:
    """Measure and print; 1 if a verdict is missing or wrong."""
    parser = argparse.ArgumentParser(description="What a picture sent once a prompt is worth on the wire.")
    add_arguments(parser, rounds=3)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 16, 256], help="clients at once")
    parser.add_argument("--prompts", type=int, default=32, help="pictures that few clients ask about")
    parser.add_argument("--answers", type=int, default=10, help="answers a picture")
    parser.add_argument("--claims", type=int, default=9, help="claims an answer")
    parser.add_argument("--image-bytes", type=int, default=100_000, help="of every picture")
    arguments = parser.parse_args()
    return conclude(asyncio.run(run(arguments)), arguments.results)


if __name__ == "__main__":
    sys.exit(main())
