"""The preference file: the public columns, provenance, the same bytes for the same pairs."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rlaifv.adapters.preferences import (
    PreferenceRow,
    count_preferences,
    preference_row,
    read_preferences,
    write_preferences,
)
from rlaifv.core.candidates import Candidate, FinishReason, Prompt
from rlaifv.core.claims import Claim, ClaimType
from rlaifv.core.errors import DataLoss, InvalidInput, NotFound
from rlaifv.core.images import Image
from rlaifv.core.pairs import PreferencePair
from rlaifv.core.scoring import JudgedClaim, ScoredCandidate
from rlaifv.core.verdicts import Decision, Verdict
from tests.tiny_llava import picture

PUBLIC = ["ds_name", "image", "question", "chosen", "rejected", "origin_dataset", "origin_split", "idx", "image_path"]


def scored(text: str, seed: int, decision: Decision) -> ScoredCandidate:
    claim = Claim(text="There is a dog.", type=ClaimType.OBJECT, question="Is there a dog?", start=0, end=5)
    verdict = Verdict(question=claim.question, p_yes=0.25, p_no=0.5, labeler_version="labeler-1")
    candidate = Candidate(
        prompt_id="p", index=seed, seed=seed, text=text, finish_reason=FinishReason.STOP, policy_version="policy-1"
    )
    judged = JudgedClaim(claim=claim, verdict=verdict, decision=decision)
    return ScoredCandidate(candidate=candidate, claims=(judged,), score=-float(decision is Decision.REJECTED))


def rows(count: int = 5) -> list[PreferenceRow]:
    pair = PreferencePair(
        prompt_id="p",
        chosen=scored("A cat 🦊.", 2**62 + 1, Decision.ACCEPTED),
        rejected=scored("A dog.", 3, Decision.REJECTED),
    )
    prompt = Prompt(id="p", image=Image.of(picture()), text="What is there?")
    row = preference_row(
        pair, prompt, picture(), ds_name="demo", iteration=2, decomposer_version="grammar-1", prompt_version="yes-no/1"
    )
    return [row] * count


def test_same_pairs_same_bytes(tmp_path: Path) -> None:
    assert write_preferences(tmp_path / "a.parquet", rows()) == write_preferences(tmp_path / "b.parquet", rows())
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.parquet", "b.parquet"]


def test_every_field_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "pairs.parquet"
    write_preferences(path, rows(600))
    found = list(read_preferences(path))
    assert count_preferences(path) == len(found) == 600
    assert found[0] == PreferenceRow(**{**{n: getattr(rows()[0], n) for n in PreferenceRow.__slots__}, "idx": "0"})
    assert found[599].idx == "599"
    assert found[0].chosen_seed == 2**62 + 1
    claim = json.loads(found[0].rejected_claims)[0]
    assert claim == {
        "text": "There is a dog.",
        "start": 0,
        "end": 5,
        "type": "object",
        "question": "Is there a dog?",
        "p_yes": 0.25,
        "p_no": 0.5,
        "decision": "rejected",
    }


def test_public_columns_come_first_and_datasets_loads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    path = tmp_path / "pairs.parquet"
    write_preferences(path, rows())
    assert pq.read_schema(path).names[:9] == PUBLIC
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    loaded = datasets.load_dataset("parquet", data_files=str(path), cache_dir=str(tmp_path / "cache"), split="train")
    assert loaded.column_names[:9] == PUBLIC
    assert loaded[0]["image"].size == (40, 30)
    assert loaded[0]["chosen"] == "A cat 🦊."


def table(**columns: object) -> pa.Table:
    base: dict[str, object] = {
        "image": [{"bytes": picture(), "path": None}],
        "question": ["q"],
        "chosen": ["a"],
        "rejected": ["b"],
    }
    return pa.table({name: values for name, values in {**base, **columns}.items() if values is not None})


def test_the_public_layout_is_read(tmp_path: Path) -> None:
    path = tmp_path / "public.parquet"
    pq.write_table(table(ds_name=["RLAIF-V"], idx=[17], logps=["{}"], origin_split=[None]), path)
    row = next(read_preferences(path))
    assert (row.ds_name, row.idx, row.chosen, row.prompt_id, row.origin_split) == ("RLAIF-V", "17", "a", "", "{}")
    assert row.image == picture()


def test_images_as_plain_bytes_are_read(tmp_path: Path) -> None:
    pq.write_table(table(image=[picture()]), tmp_path / "plain.parquet")
    assert next(read_preferences(tmp_path / "plain.parquet")).image == picture()


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"chosen": None}, "'chosen' is missing"),
        ({"image": None}, "'image' is missing"),
        ({"question": [None]}, "row 0: column 'question'"),
        ({"image": [{"bytes": b"", "path": "x"}]}, "row 0: column 'image'"),
        ({"chosen": [3]}, "row 0: column 'chosen'"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, columns: dict[str, object], words: str) -> None:
    pq.write_table(table(**columns), tmp_path / "bad.parquet")
    with pytest.raises(InvalidInput, match=words):
        list(read_preferences(tmp_path / "bad.parquet"))


def test_no_file_and_half_a_file(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        list(read_preferences(tmp_path / "none.parquet"))
    path = tmp_path / "half.parquet"
    write_preferences(path, rows())
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataLoss, match=r"half\.parquet"):
        list(read_preferences(path))
