"""A real service without a model: serves gRPC health, tells its ports. Its settings make it misbehave.

`die_at_start` prints a line and ends with exit code 3; `never_serve` stays NOT_SERVING; `ignore_sigterm` has to be killed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc


def setting(name: str, default: str = "") -> str:
    return next((value for key, value in os.environ.items() if key.endswith(f"_{name.upper()}")), default)


def main() -> None:
    if setting("die_at_start"):
        sys.stderr.write("reading settings\nmodel = '/nowhere': there is no such folder\n")
        sys.exit(3)
    server = grpc.server(ThreadPoolExecutor(2))
    servicer = health.HealthServicer()
    serving = (
        health_pb2.HealthCheckResponse.NOT_SERVING if setting("never_serve") else health_pb2.HealthCheckResponse.SERVING
    )
    servicer.set("", serving)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port(f"127.0.0.1:{setting('small_port', '0')}")
    server.start()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, signal.SIG_IGN if setting("ignore_sigterm") else lambda *_: stop.set())
    target = Path(setting("ports_file"))
    aside = target.with_suffix(".part")
    aside.write_text(json.dumps({"grpc": port, "metrics": 1, "threads": os.environ.get("OMP_NUM_THREADS")}))
    aside.rename(target)
    stop.wait()
    server.stop(0)
    sys.stderr.write("drained\n")


if __name__ == "__main__":
    main()
