"""Asks a service how it is, as Kubernetes and Prometheus do, until its standard input closes; then prints the latencies as JSON.

`python -m bench.probing HOST:PORT [HOST:PORT of the metrics]`. A process of its own, so that the load beside it is not measured.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from threading import Event, Thread
from time import perf_counter
from typing import Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

INTERVAL_S: Final = 0.1
TIMEOUT_S: Final = 30.0


@dataclass(slots=True)
class Probes:
    """Latencies of one kind of probe, seconds, and what went wrong. `late_s` is how much later than meant the worst one began:
    the share of the worst latency that is this process waiting for a processor."""

    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    late_s: float = 0.0


def probe_until(stop: Event, ask: Callable[[], None], probes: Probes) -> None:
    """Ask every `INTERVAL_S`; one that takes longer is waited for, as a kubelet does."""
    due = perf_counter()
    while not stop.is_set():
        begin = perf_counter()
        probes.late_s = max(probes.late_s, begin - due)
        try:
            ask()
        except (grpc.RpcError, OSError, RuntimeError) as error:
            probes.failures.append(str(error)[:200])
        probes.seconds.append(perf_counter() - begin)
        due = max(perf_counter(), due + INTERVAL_S)
        stop.wait(max(0.0, due - perf_counter()))


def check(channel: grpc.Channel) -> None:
    """Raises RuntimeError unless the service says SERVING."""
    answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        raise RuntimeError(f"health is {health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)}")


def check_anew(target: str) -> None:
    """As `check`, on a connection made for it, as a kubelet does."""
    with grpc.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        check(channel)


def scrape(address: str) -> None:
    """Read the metrics."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=TIMEOUT_S) as response:
        response.read()


def main() -> None:
    """Probe in one thread a kind."""
    target, *metrics = sys.argv[1:]
    stop = Event()
    kept = grpc.insecure_channel(target)
    asks: dict[str, Callable[[], None]] = {
        "kept connection": lambda: check(kept),
        "new connection": lambda: check_anew(target),
    }
    if metrics:
        asks["metrics"] = lambda: scrape(metrics[0])
    found = {name: Probes() for name in asks}
    threads = [Thread(target=probe_until, args=(stop, ask, found[name])) for name, ask in asks.items()]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    stop.set()
    for thread in threads:
        thread.join()
    kept.close()
    sys.stdout.write(json.dumps({name: asdict(probes) for name, probes in found.items()}))


if __name__ == "__main__":
    main()
