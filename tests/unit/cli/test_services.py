"""Commands over real services (with fake models): serve, score, rank, train."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from rlaifv.adapters.preferences import PreferenceRow, write_preferences
from rlaifv.cli.claims_view import coloured, score_in_words
from rlaifv.core.answers import ScoredAnswer
from rlaifv.core.claims import Claim, ClaimType
from rlaifv.core.scoring import JudgedClaim
from rlaifv.core.verdicts import Decision, Verdict
from tests.unit.cli.running import rlaifv

ANSWER = "There is a red car. There is a dog."
FIELDS = {"text", "start", "end", "type", "question", "p_yes", "p_no", "mass", "accepted"}


def picture() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def labeler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of a labeler started as a user would; SIGTERM must end it with exit code 0."""
    runs = tmp_path_factory.mktemp("runs")
    program = [sys.executable, "-m", "rlaifv.cli", "serve", "labeler", "--model", "fake:", "--set", "decomposer=fake"]
    service = subprocess.Popen(
        [*program, "--port", "0", "--runs", str(runs), "--json"], stdout=subprocess.PIPE, text=True
    )
    assert service.stdout is not None
    told = json.loads(service.stdout.readline())
    assert set(told) == {"endpoints", "metrics", "pids", "logs"}
    yield told["endpoints"]["labeler"]
    service.send_signal(signal.SIGTERM)
    rest, _ = service.communicate(timeout=30)
    assert (service.returncode, rest) == (0, "")
    with pytest.raises(ProcessLookupError):
        os.kill(told["pids"]["labeler"], 0)
    assert not list((runs / ".services").glob("*.json"))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "red.png"
    path.write_bytes(picture())
    return path


def test_score_prints_claims_for_scripts(labeler: str, image: Path) -> None:
    ran = rlaifv("score", "--image", image, "--answer", ANSWER, "--endpoint", labeler, "--json")
    assert (ran.code, ran.err) == (0, "")
    found = ran.json
    assert found["score"] <= 0
    assert len(found["claims"]) == 2
    for claim in found["claims"]:
        assert set(claim) == FIELDS
        assert ANSWER[claim["start"] : claim["end"]]
        assert claim["mass"] == pytest.approx(claim["p_yes"] + claim["p_no"])
        assert claim["accepted"] is (claim["p_yes"] > claim["p_no"])
    assert found["score"] == -sum(not claim["accepted"] for claim in found["claims"])


def test_score_for_people_from_a_file_and_from_standard_input(labeler: str, image: Path, tmp_path: Path) -> None:
    (tmp_path / "answer.txt").write_text(ANSWER, encoding="utf-8")
    from_file = rlaifv("score", "--image", image, "--answer", f"@{tmp_path}/answer.txt", RLAIFV_LABELER=labeler)
    from_pipe = rlaifv("score", "--image", image, "--answer", "-", "--endpoint", labeler, stdin=ANSWER.encode())
    assert from_file.code == from_pipe.code == 0
    assert from_file.out == from_pipe.out
    assert from_file.out.startswith(ANSWER)
    assert "claims rejected" in from_file.out


def test_rank_orders_all_answers(labeler: str, image: Path) -> None:
    answers = ["There is a dog.", "There is a red car. There is a cat. There is a tree.", "Hello!"]
    options = [part for answer in answers for part in ("--answer", answer)]
    ran = rlaifv("rank", "--image", image, *options, "--endpoint", labeler, "--json")
    ranking = ran.json["ranking"]
    assert sorted(entry["index"] for entry in ranking) == [0, 1, 2]
    assert all(entry["answer"] == answers[entry["index"]] for entry in ranking)
    scores = [entry["score"] for entry in ranking if entry["score"] is not None]
    assert scores == sorted(scores, reverse=True)
    assert rlaifv("rank", "--image", image, *options, "--endpoint", labeler).out.startswith("1. answer ")


def test_the_service_s_own_refusal_reaches_the_user(labeler: str, image: Path) -> None:
    ran = rlaifv("status", "--endpoint", labeler, "--json")
    assert ran.code in (1, 2)
    assert ran.json["error"]["message"]


def test_train_on_a_file_of_the_public_columns(tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.parquet"
    rows = [PreferenceRow(image=picture(), question="What?", chosen="A car.", rejected="A dog.")] * 4
    write_preferences(pairs, rows)
    ran = rlaifv("train", pairs, "--model", "fake:", "--out", tmp_path / "out", "--batch-size", 2, "--json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.json["steps"] > 0
    assert Path(ran.json["checkpoint"]["uri"]).is_relative_to(tmp_path)


def judged(text: str, start: int, end: int, decision: Decision) -> JudgedClaim:
    claim = Claim(text=text, type=ClaimType.OBJECT, question="?", start=start, end=end)
    return JudgedClaim(claim=claim, verdict=Verdict(question="?", p_yes=0.1, p_no=0.2), decision=decision)


def test_colours_follow_the_characters_also_beyond_the_basic_plane() -> None:
    answer = "\N{DOG FACE} a dog and \x1b[2J a cat"
    dog, cat = answer.index("dog"), answer.index("cat")
    claims = [judged("dog", dog, dog + 3, Decision.REJECTED), judged("cat", cat, cat + 3, Decision.ACCEPTED)]
    text = coloured(answer, claims)
    assert "\x1b" not in text.plain
    red = [text.plain[span.start : span.end] for span in text.spans if "red" in str(span.style)]
    green = [text.plain[span.start : span.end] for span in text.spans if "green" in str(span.style)]
    assert (red, green) == (["dog"], ["cat"])


def test_scores_in_words() -> None:
    assert score_in_words(ScoredAnswer(claims=(), score=None)).startswith("no score: the answer holds no claim")
    claims = (judged("a", 0, 1, Decision.REJECTED), judged("b", 1, 2, Decision.ACCEPTED))
    assert score_in_words(ScoredAnswer(claims=claims, score=-1.0)) == "score -1: 1 of 2 claims rejected"
