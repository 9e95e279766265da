"""Every model family in Triton's own environment (its numpy, its interpreter) says what the embedded labeler says, to the bit."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from rlaifv.adapters.huggingface.labeler import HuggingFaceLabeler, LabelerOptions
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.images import Image
from rlaifv.ports.services import Questions
from tests.families import FAMILIES
from tests.families.pictures import PICTURES
from tests.families.verdicts import QUESTIONS
from tests.servers.triton.launched import PYTHON
from tests.serving import collected

pytestmark = pytest.mark.servers

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def in_triton(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, list[list[float]]]]]:
    """The families' folders, and what their models say there."""
    folder = tmp_path_factory.mktemp("families")
    folders = [make(folder / name, 0) for name, make in FAMILIES.items()]
    done = subprocess.run(
        [str(PYTHON), "-m", "tests.families.verdicts", *map(str, folders)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder, json.loads(done.stdout)


@pytest.mark.parametrize("family", FAMILIES)
async def test_the_same_verdicts(in_triton: tuple[Path, dict[str, dict[str, list[list[float]]]]], family: str) -> None:
    folder, found = in_triton
    labeler = HuggingFaceLabeler.open(Checkpoint(uri=str(folder / family), digest=""), LabelerOptions(threads=1))
    items = [Questions(id=name, image=Image.of(data), questions=QUESTIONS) for name, data in PICTURES.items()]
    try:
        answers = await collected(labeler.ask(items))
    finally:
        labeler.close()
    stated = {name: [[v.p_yes, v.p_no] for v in answers[name].unwrap()] for name in PICTURES}
    assert found[family] == stated
    assert len({tuple(pair) for pairs in stated.values() for pair in pairs}) > len(PICTURES)
