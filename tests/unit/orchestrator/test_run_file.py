"""Run files: defaults of the paper, and errors that name line, field, value and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlaifv.adapters.runs.reading import dump_run_file, parse_run_file, read_run_file
from rlaifv.adapters.runs.run_file import RunFile, Section
from rlaifv.core.errors import InvalidInput, NotFound
from rlaifv.core.pairs import PairRule
from rlaifv.core.scoring import Aggregate
from rlaifv.core.training import Hyperparameters
from rlaifv.core.verdicts import VerdictRule
from services.orchestrator.run_file_page import README, page

SMALL = """\
name: first-run
policy: models/start
prompts:
  train: train.parquet
  validation: validation.parquet
prompts_per_iteration: 40
"""


def test_defaults_are_the_papers() -> None:
    run = parse_run_file(SMALL, Path("/base"))
    assert (run.iterations, run.candidates, run.aggregate) == (4, 10, Aggregate.COUNT)
    assert (run.sampling.temperature, run.sampling.top_p, run.sampling.max_new_tokens) == (0.7, 1.0, 512)
    assert run.verdict_rule.rule() == VerdictRule()
    assert run.pair_rule.rule() == PairRule()
    assert run.training.hyperparameters(0) == Hyperparameters()


def test_relative_paths_count_from_the_base_folder() -> None:
    run = parse_run_file(SMALL + "local: {labeler_model: sibling}\n", Path("/base"))
    assert (run.policy, run.prompts.train) == ("/base/models/start", Path("/base/train.parquet"))
    assert run.local.labeler_model == Path("/base/sibling")
    addressed = parse_run_file(SMALL.replace("models/start", "s3://bucket/start"), Path("/base"))
    assert addressed.policy == "s3://bucket/start"


def test_a_written_run_file_reads_back_the_same() -> None:
    run = parse_run_file(SMALL + "training: {lora: {rank: 8}, precision: fp32}\n", Path("/base"))
    assert parse_run_file(dump_run_file(run), Path("/elsewhere")) == run


@pytest.mark.parametrize(
    ("addition", "message"),
    [
        (
            "pair_rule:\n  max_pairs: 3\n",
            "run.yaml:8: pair_rule.max_pairs: no such field; did you mean 'max_pairs_per_",
        ),
        ("candiates: 5\n", "run.yaml:7: candiates: no such field; did you mean 'candidates'?"),
        ("training: {lora: {rnk: 2}}\n", "run.yaml:7: training.lora.rnk: no such field; did you mean 'rank'?"),
        ("zzz: 1\n", "run.yaml:7: zzz: no such field; there are name, seed, "),
        ("candidates: 1\n", "run.yaml:7: candidates = 1: Input should be greater than or equal to 2"),
        ("sampling:\n  temperature: .nan\n", "run.yaml:8: sampling.temperature = nan: Input should be a finite number"),
        ("sampling:\n  temperature: 0\n", "run.yaml:8: sampling.temperature = 0: Input should be greater than 0"),
        ("aggregate: median\n", "run.yaml:7: aggregate = 'median': Input should be 'count' or 'rate'"),
        ("seed: -1\n", "run.yaml:7: seed = -1:"),
        ("seed: one\n", "run.yaml:7: seed = 'one': Input should be a valid integer"),
        ("sampling: 3\n", "run.yaml:7: sampling = 3: Input should be a valid dictionary"),
        ("name: second\n", "run.yaml:7: name: given twice, first in line 1"),
        (
            "aggregate: rate\n",
            "pair_rule.min_score_difference = 1.0: with aggregate 'rate' scores are between -1 and 0",
        ),
        ("iterations: [\n", "run.yaml:8: not YAML:"),
        (
            "training: {batch_size: 3, micro_batch_size: 2}\n",
            "training.micro_batch_size = 2: must divide batch_size (3)",
        ),
    ],
)
def test_a_mistake_is_named_with_its_line_and_remedy(addition: str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_run_file(SMALL + addition, Path("/base"), source="run.yaml")
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1\n", "run.yaml: must be a mapping of fields, found list"),
        ("", "run.yaml: must be a mapping of fields, found NoneType"),
        ("policy: m\n", "run.yaml: name: missing; Names the run"),
        ("[" * 5000, "run.yaml: nested too deeply"),
        ("name: " + "x" * 2_000_000, "run.yaml: 2000006 characters"),
        (SMALL.replace("first-run", "../up"), "run.yaml:1: name = '../up': String should match pattern"),
        (SMALL.replace("first-run", "x" * 65), "run.yaml:1: name = "),
        ("a: !!python/object/apply:os.system ['true']\n", "run.yaml:1: not YAML: could not determine a constructor"),
    ],
)
def test_what_is_no_run_file_is_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_run_file(text, Path("/base"), source="run.yaml")
    assert message in caught.value.message


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_run_file(SMALL + "candidates: 1\nseed: -1\nzzz: 1\n", Path("/base"))
    assert len(caught.value.message.splitlines()) == 3


def test_nested_aliases_do_not_explode() -> None:
    laughs = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))
    with pytest.raises(InvalidInput, match="no such field"):
        parse_run_file(laughs, Path("/base"))


def test_a_missing_or_binary_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"nowhere\.yaml"):
        read_run_file(tmp_path / "nowhere.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInput, match="not UTF-8"):
        read_run_file(tmp_path / "binary.yaml")


def test_the_digest_is_of_what_results_depend_on() -> None:
    run = parse_run_file(SMALL, Path("/base"))
    moved = parse_run_file(SMALL + "services: {policy: 'a:1'}\nshards_in_flight: 9\n", Path("/base"))
    other = parse_run_file(SMALL + "seed: 1\n", Path("/base"))
    assert run.digest == moved.digest != other.digest


def test_the_readme_lists_every_field_as_it_is() -> None:
    readme = README.read_text("utf-8")
    assert page(readme) == readme, "run python -m services.orchestrator.run_file_page"


def sections(model: type[Section]) -> set[type[Section]]:
    return {model}.union(*(sections(child) for child in model.__subclasses__()))


@pytest.mark.parametrize("section", sorted(sections(Section) - {Section}, key=lambda s: s.__name__))
def test_every_field_is_documented(section: type[Section]) -> None:
    assert [name for name, field in section.model_fields.items() if not field.description] == []
    assert RunFile in sections(Section)
