"""bench.growth: its arithmetic against numbers worked out by hand, its script and its check against a run that was spoilt."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.growth import marginal, middle, slope
from bench.growth_run import Measured, run_once
from bench.growth_world import Size, check, write_prompts
from bench.scripted import Script, rejected
from rlaifv.core.seeds import candidate_seed

FIXED = {"prompts": 8, "wall_s": 2.0, "cpu_s": 0.5, "own_s": 0.01, "peak_mib": 5.0, "statements": 400}
RUN = Measured(
    prompts=108,
    wall_s=3.0,
    cpu_s=1.2,
    own_s=0.11,
    peak_mib=60.0,
    statements=900,
    rows={"a": 300, "b": 100},
    bytes={"database": 300_000, "shards": 108_000, "pairs": 216_000},
    pairs=200,
    wrong=[],
    fixed=FIXED | {"database": 100_000, "rows": 50},
)


def test_what_one_more_prompt_costs_is_free_of_what_a_run_costs_anyway() -> None:
    each = marginal(RUN)
    assert each.wall_ms == pytest.approx(1000 * (3.0 - 2.0) / 100)
    assert each.cpu_ms == pytest.approx(1000 * (1.2 - 0.5) / 100)
    assert each.overhead_ms == pytest.approx(1000 * (1.0 - 0.1) / 100), "the scripted services' own time is not ours"
    assert each.cpu_overhead_ms == pytest.approx(1000 * (0.7 - 0.1) / 100)
    assert (each.statements, each.rows, each.database_bytes) == (5.0, 3.5, 2000.0)
    assert (each.shard_bytes, each.pair_bytes) == (1000.0, 2000.0)


def test_the_middle_run_and_the_slope() -> None:
    slower, slowest = replace(RUN, cpu_s=4.0), replace(RUN, cpu_s=9.0)
    assert middle([slowest, RUN, slower]) is slower
    assert middle([slower, RUN]) is RUN
    assert slope([(10, 1.0), (90, 9.0), (250, 25.0)]) == pytest.approx(0.1)


def test_answers_have_so_many_sentences_each_once_and_preferences_follow_from_rejected_ones() -> None:
    script = Script(claims=9)
    seeds = [candidate_seed(5, "p", 1, index) for index in range(6)]
    answers = [script.answer(seed) for seed in seeds]
    divided = [[sentence + "." for sentence in answer.rstrip(".").split(". ")] for answer in answers]
    assert all(len(set(sentences)) == 9 for sentences in divided)
    faults = [sum(rejected(script.questions[sentence]) for sentence in sentences) for sentences in divided]
    expected = {
        (answers[a], answers[b]) if faults[a] < faults[b] else (answers[b], answers[a])
        for a, b in combinations(range(6), 2)
        if faults[a] != faults[b]
    }
    assert script.preferences("p", 5, 1, 6) == expected != set()


async def test_a_run_is_as_the_script_has_it_and_a_spoilt_one_is_not(tmp_path: Path) -> None:
    size = Size(prompts=12, candidates=4, claims=3, shard_prompts=4, image_bytes=64)
    write_prompts(tmp_path, size)
    (tmp_path / "runs").mkdir()
    found = await run_once(tmp_path, size)
    assert (found.wrong, found.prompts, found.rows["workflow_status"]) == ([], 12, 1 + 1 + 3)
    assert found.rows["rlaifv_pairs"] == found.pairs > 0
    path = tmp_path / "runs" / "growth" / "iterations" / "1" / "pairs.parquet"
    pairs = pq.read_table(path)
    worse = pairs.set_column(pairs.schema.get_field_index("chosen"), "chosen", pairs["rejected"])
    pq.write_table(worse, path)
    figures = json.loads((tmp_path / "runs" / "growth" / "summary.json").read_text())["rounds"][1]
    assert check(tmp_path, size, figures)[0].startswith("pairs of train-")
    pq.write_table(pa.concat_tables([pairs, pairs, pairs]), path)
    assert check(tmp_path, size, figures) != []
    pq.write_table(pairs, path)
    assert check(tmp_path, size, figures) == []
    assert check(tmp_path, size, figures | {"claims": 1}) == ["claims: 1, not 144"]
