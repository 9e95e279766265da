"""Which processes a command starts here, with which Python, and wired how."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rlaifv.adapters.local_services import LocalService, LocalServices
from rlaifv.adapters.runs.reading import parse_run_file
from rlaifv.adapters.runs.run_file import LOCAL_SERVICES
from rlaifv.cli.environments import interpreter
from rlaifv.cli.further_settings import joined, read_further
from rlaifv.cli.local_stack import OWNERS, Stack
from rlaifv.core.errors import InvalidInput, NotFound
from tests.unit.cli.test_local_services import environment_of
from tests.unit.orchestrator.test_run_file import SMALL

ON_SERVERS = {"policy": {"backend": "vllm"}, "labeler": {"backend": "triton"}, "triton": {"precision": "bf16"}}


@pytest.fixture
def pythons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A Python of its own for each model server: this one under another name."""
    found = {}
    for server in ("vllm", "triton"):
        program = tmp_path / f"python-{server}"
        program.write_text(f'#!/bin/sh\nPYTHON_OF={server} exec {sys.executable} "$@"\n', encoding="utf-8")
        program.chmod(0o755)
        monkeypatch.setenv(f"RLAIFV_PYTHON_{server.upper()}", str(program))
        found[server] = str(program)
    return found


def by_name(stack: Stack, *names: str) -> dict[str, LocalService]:
    return {service.name: service for service in (stack.services(names) if names else stack.services())}


def test_model_servers_run_on_their_own_python(pythons: dict[str, str], tmp_path: Path) -> None:
    stack = Stack(runs=tmp_path, policy="/start", labeler="/labeler", threads=1, settings=ON_SERVERS)
    services = by_name(stack)
    assert list(services) == ["triton", "policy", "decomposer", "labeler", "trainer", "orchestrator"]
    own = {name: service.python for name, service in services.items() if service.python}
    assert own == {"policy": pythons["vllm"], "triton": pythons["triton"]}
    assert services["triton"].settings == {"model": "/labeler", "precision": "bf16"}
    assert services["labeler"].settings == {"backend": "triton", "decomposer": "remote"}
    assert services["labeler"].wiring == {"decomposer_target": "decomposer", "triton_target": "triton"}
    assert services["policy"].settings == {"model": "/start", "backend": "vllm"}


def test_without_them_nothing_else_is_started_or_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLAIFV_PYTHON_TRITON", "/no/such/python")
    services = by_name(Stack(runs=tmp_path, policy="/start", labeler="/start"))
    assert list(services) == ["policy", "decomposer", "labeler", "trainer", "orchestrator"]
    assert not any(service.python for service in services.values())


def test_a_tritonserver_that_runs_elsewhere_is_used(tmp_path: Path) -> None:
    settings = {"labeler": {"backend": "triton", "triton_target": "triton.example:8001"}}
    services = by_name(Stack(runs=tmp_path, labeler="/labeler", settings=settings), "labeler")
    assert list(services) == ["labeler"]
    assert services["labeler"].wiring == {}


def test_a_labeler_elsewhere_needs_no_tritonserver_here(tmp_path: Path) -> None:
    stack = Stack(runs=tmp_path, policy="/start", settings=ON_SERVERS, elsewhere={"labeler": "a:1", "policy": "b:2"})
    assert [service.name for service in stack.services()] == ["decomposer", "trainer", "orchestrator"]


def test_the_environment_beside_this_one_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RLAIFV_PYTHON_VLLM", raising=False)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "env"))
    with pytest.raises(NotFound, match="make vllm"):
        interpreter("vllm")
    python = tmp_path / "env-vllm" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    assert interpreter("vllm") == str(python)


def test_a_python_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLAIFV_PYTHON_TRITON", "/no/such/python")
    with pytest.raises(InvalidInput, match="RLAIFV_PYTHON_TRITON = '/no/such/python'"):
        interpreter("triton")


async def test_a_service_runs_on_the_python_it_names(pythons: dict[str, str], tmp_path: Path) -> None:
    service = LocalService(name="small", module="tests.unit.cli.small_service", python=pythons["vllm"])
    async with LocalServices([service], tmp_path) as local:
        environment = environment_of(local.processes["small"])
    assert "PYTHON_OF=vllm" in environment.split("\0")


def test_settings_are_given_by_service_or_for_the_one_that_is_served() -> None:
    assert read_further(["policy.BACKEND=vllm", "policy.model=a=b"], OWNERS)["policy"] == {
        "backend": "vllm",
        "model": "a=b",
    }
    both = read_further(["max_queue=5", "triton.precision=bf16"], ("labeler", "triton"), owner="labeler")
    assert both == {"labeler": {"max_queue": "5"}, "triton": {"precision": "bf16"}}
    for wrong in ("policy.backend", "max_queue=5", "polcy.backend=vllm", "policy.=vllm"):
        with pytest.raises(InvalidInput, match=r"SERVICE\.NAME=VALUE"):
            read_further([wrong], OWNERS)


def test_the_command_line_wins_over_the_run_file() -> None:
    text = SMALL + "local: {settings: {policy: {backend: vllm, max_rows: 8}, labeler: {allow_http: true}}}\n"
    of_file = parse_run_file(text, Path("/base")).local.settings
    assert of_file == {"policy": {"backend": "vllm", "max_rows": "8"}, "labeler": {"allow_http": "true"}}
    assert joined(of_file, {"policy": {"backend": "fake"}, "trainer": {}}) == {
        "policy": {"backend": "fake", "max_rows": "8"},
        "labeler": {"allow_http": "true"},
        "trainer": {},
    }


def test_a_service_that_the_run_file_makes_up_is_an_error() -> None:
    assert LOCAL_SERVICES == OWNERS
    with pytest.raises(InvalidInput, match="'polcy' is no service"):
        parse_run_file(SMALL + "local: {settings: {polcy: {backend: vllm}}}\n", Path("/base"))
