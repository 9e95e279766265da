"""The supervisor, with real processes: start, death, restart, failure, drain, no orphans."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from rlaifv.adapters.local_services import LocalService, LocalServices, Patience
from rlaifv.core.errors import BackendFailed, DeadlineExceeded
from rlaifv.rpc.channel import open_channel

SMALL = "tests.unit.cli.small_service"
ROOT = Path(__file__).parents[3]


def small(name: str = "small", **settings: str) -> LocalService:
    return LocalService(name=name, module=SMALL, settings=settings, threads=1)


async def serving(endpoint: str) -> bool:
    async with open_channel(endpoint) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def alive(pid: int) -> bool:
    """Whether the process is at work; one that is dead but not yet reaped by its new parent counts as dead."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def environment_of(pid: int) -> str:
    return Path(f"/proc/{pid}/environ").read_text()


def start_supervisor(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "tests.unit.cli.supervised", str(folder)], cwd=ROOT)


async def eventually(condition: Callable[[], bool], within_s: float = 20.0) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.05)


async def test_a_service_serves_inside_the_block_and_is_drained_after_it(tmp_path: Path) -> None:
    async with LocalServices([small()], tmp_path) as local:
        pid = local.processes["small"]
        assert await serving(local.endpoints["small"])
        assert json.loads((tmp_path / "small.ports.json").read_text())["threads"] == "1"
    assert not alive(pid)
    assert "drained" in (tmp_path / "small.log").read_text()


async def test_a_killed_service_comes_back_on_the_same_port(tmp_path: Path) -> None:
    async with LocalServices([small()], tmp_path, Patience(first_pause_s=0.01)) as local:
        endpoint, first = local.endpoints["small"], local.processes["small"]
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: local.processes["small"] != first and (tmp_path / "small.ports.json").exists())
        assert local.endpoints["small"] == endpoint
        assert await serving(endpoint)


async def test_a_service_that_keeps_dying_is_given_up(tmp_path: Path) -> None:
    async with LocalServices([small()], tmp_path, Patience(first_pause_s=0.01, restarts=1)) as local:
        failing = asyncio.ensure_future(local.failed())
        first = local.processes["small"]
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: local.processes["small"] != first)
        os.kill(local.processes["small"], signal.SIGKILL)
        with pytest.raises(BackendFailed, match="small died 2 times within a minute, last with signal SIGKILL"):
            await asyncio.wait_for(failing, 20)


async def test_death_at_start_shows_the_end_of_the_log(tmp_path: Path) -> None:
    with pytest.raises(BackendFailed, match=r"(?s)exit code 3.*small\.log.*'/nowhere': there is no such folder"):
        async with LocalServices([small(die_at_start="yes")], tmp_path):
            pytest.fail("it must not start")


async def test_a_service_that_never_serves_is_stopped_and_named(tmp_path: Path) -> None:
    with pytest.raises(DeadlineExceeded, match=r"small does not serve after 2 s"):
        async with LocalServices([small(never_serve="yes")], tmp_path, Patience(start_s=2.0)):
            pytest.fail("it must not start")


async def test_a_failed_start_stops_the_others(tmp_path: Path) -> None:
    good, bad = small("good"), small("bad", die_at_start="yes")
    services = LocalServices([good, bad], tmp_path)
    with pytest.raises(BackendFailed):
        async with services:
            pytest.fail("it must not start")
    assert not any(alive(pid) for pid in services.processes.values())


async def test_a_service_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    async with LocalServices([small(ignore_sigterm="yes")], tmp_path, Patience(drain_s=-1.5)) as local:
        pid = local.processes["small"]
    assert not alive(pid)


async def test_wired_services_start_after_their_peers_and_learn_the_endpoint(tmp_path: Path) -> None:
    wired = LocalService(name="second", module=SMALL, wiring={"first_target": "first"})
    async with LocalServices([wired, small("first")], tmp_path) as local:
        environment = environment_of(local.processes["second"])
        assert f"RLAIFV_SECOND_FIRST_TARGET={local.endpoints['first']}" in environment


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
async def test_no_service_outlives_its_supervisor(tmp_path: Path, number: signal.Signals) -> None:
    supervisor = start_supervisor(tmp_path)
    note = tmp_path / "pid"
    await eventually(lambda: note.exists() and note.read_text() != "")
    pid = int(note.read_text())
    assert alive(pid)
    supervisor.send_signal(number)
    code = await asyncio.to_thread(supervisor.wait, 20)
    await eventually(lambda: not alive(pid))
    assert code == (-signal.SIGKILL if number == signal.SIGKILL else 0)
