"""Bad input: one clear message with field, value and remedy; exit code 2, or 1 where a service failed; JSON the same."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.unit.cli.running import rlaifv
from tests.unit.report.example_run import Example, write_example

RUN_FILE = """
name: taken
policy: {model}
prompts: {{train: t.parquet, validation: v.parquet}}
prompts_per_iteration: 4
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a picture, odd files and a run, made the present one."""
    monkeypatch.chdir(tmp_path)
    picture = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(picture, "PNG")
    (tmp_path / "red.png").write_bytes(picture.getvalue())
    (tmp_path / "cut.png").write_bytes(picture.getvalue()[:40])
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("I am a text")
    (tmp_path / "latin1.txt").write_bytes("Ein gr\xfcnes Auto".encode("latin-1"))
    (tmp_path / "blank.txt").write_text(" \n ")
    (tmp_path / "folder").mkdir()
    (tmp_path / "run.yaml").write_text(RUN_FILE.format(model="nowhere"))
    (tmp_path / "typo.yaml").write_text(RUN_FILE.format(model="nowhere") + "candidate: 3\n")
    (tmp_path / "broken.yaml").write_text("name: [")
    write_example(tmp_path / "runs", Example(answers=2))
    return tmp_path


@pytest.fixture
def mute() -> Iterator[str]:
    """An address that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def score(image: str = "red.png", answer: str = "A car.") -> list[str]:
    return ["score", "--image", image, "--answer", answer]


CASES: list[tuple[list[str], int, str]] = [
    (score("absent.png"), 2, "--image = 'absent.png': there is no such file"),
    (score("folder"), 2, "--image = 'folder': is a folder"),
    (score("text.png"), 2, "is no picture"),
    (score("empty.png"), 2, "--image = 'empty.png': image has 0 bytes"),
    (score("cut.png"), 2, "--image = 'cut.png'"),
    (score(answer=""), 2, "--answer = '': is empty"),
    (score(answer="@blank.txt"), 2, "is empty"),
    (score(answer="@absent.txt"), 2, "--answer = 'absent.txt': there is no such file"),
    (score(answer="@latin1.txt"), 2, "is not UTF-8 text (byte 6 is 0xfc)"),
    ([*score(), "--model", "nowhere"], 2, "--model = 'nowhere': there is no such folder"),
    ([*score(), "--model", "folder"], 2, "holds no config.json"),
    ([*score(), "--model", "fake:", "--endpoint", "127.0.0.1:1"], 2, "give one of them"),
    ([*score(), "--threshold", "1.5"], 2, "verdict_rule.threshold = 1.5"),
    ([*score(), "--endpoint", "127.0.0.1:1", "--timeout", "2"], 1, "127.0.0.1:1"),
    (["rank", "--image", "red.png", "--answer", "A car."], 2, "give 2 to 256 of them"),
    (["rank", "--image", "red.png", "--answer", "-", "--answer", "-"], 2, "can be read once only"),
    (["run", "absent.yaml"], 2, "there is no such file"),
    (["run", "typo.yaml"], 2, "candidate: no such field; did you mean 'candidates'?"),
    (["run", "broken.yaml"], 2, "not YAML"),
    (["run", "run.yaml"], 2, "nowhere"),
    (["run", "run.yaml", "--endpoint", "127.0.0.1:1"], 1, "does not answer"),
    (["resume", "absent"], 2, "there is no such run in runs/ (there: example)"),
    (["status", "absent"], 2, "there is no such run"),
    (["status", "--endpoint", "127.0.0.1:1", "--timeout", "2"], 1, "127.0.0.1:1"),
    (["cancel", "example"], 1, "no orchestrator is at work"),
    (["report", "absent"], 2, "there is no such run"),
    (["export", "example", "--out", "p.parquet"], 2, "it has no pairs yet"),
    (["export", "example", "--out", "red.png"], 2, "exists"),
    (["export", "example", "--out", "no/where/p.parquet"], 2, "there is no folder"),
    (["lineage", "example", "0123"], 2, "there is no ledger"),
    (["train", "absent.parquet", "--model", "fake:", "--out", "o"], 2, "there is no such file"),
    (["train", "text.png", "--model", "fake:", "--out", "o"], 1, "text.png"),
    (["train", "text.png", "--model", "fake:", "--out", "o", "--beta", "0"], 2, "training.beta = 0.0: must be over 0"),
    (["serve", "policy", "--model", "nowhere"], 2, "there is no such folder"),
    (["serve", "policy", "--set", "max_batch"], 2, "must have the form NAME=VALUE"),
    (["serve", "all", "--set", "max_batch=3"], 2, "must have the form SERVICE.NAME=VALUE"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), CASES)
def test_one_clear_message(here: Path, arguments: list[str], code: int, message: str) -> None:
    ran = rlaifv(*arguments, "--json")
    assert (ran.code, ran.err) == (code, "")
    assert message in ran.json["error"]["message"]
    assert ran.json["error"]["kind"]


@pytest.mark.parametrize("arguments", [score("absent.png"), ["report", "absent"], ["run", "typo.yaml"]])
def test_people_get_it_on_stderr(here: Path, arguments: list[str]) -> None:
    ran = rlaifv(*arguments)
    assert ran.code == 2
    assert ran.out == ""
    assert ran.err.startswith("error: ")
    assert "Traceback" not in ran.err


def test_a_slow_service_is_given_up(here: Path, mute: str) -> None:
    ran = rlaifv(*score(), "--endpoint", mute, "--timeout", "0.5", "--json")
    assert ran.code == 1
    assert ran.json["error"]["kind"] in ("DeadlineExceeded", "Unavailable")


def test_a_name_that_is_taken_is_refused_before_anything_starts(here: Path) -> None:
    folder = here / "runs" / "taken"
    folder.mkdir()
    (folder / "run.yaml").write_text(RUN_FILE.format(model="other"))
    ran = rlaifv("run", "run.yaml", "--json")
    assert ran.code == 2
    assert ran.json["error"]["kind"] == "AlreadyExists"
    assert "rlaifv resume taken" in ran.json["error"]["message"]
    assert not (folder / "logs").exists()


def test_an_answer_that_is_too_long_is_refused_here(here: Path) -> None:
    ran = rlaifv("score", "--image", "red.png", "--answer", "-", "--json", stdin=b"x" * (2 << 20))
    assert (ran.code, ran.json["error"]["kind"]) == (2, "TooLarge")
