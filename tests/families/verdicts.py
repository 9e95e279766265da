"""What the Triton model says about pictures with the models of some folders, for comparing environments:

    python -m tests.families.verdicts FOLDER...

prints JSON: by folder name and picture, p_yes and p_no of every question.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from rlaifv.adapters.triton.model import BatchLabeler, PictureAnswers, PictureQuestions
from rlaifv.adapters.triton.settings import TritonSettings
from tests.families.pictures import PICTURES

QUESTIONS = ("Is there a red car?", "Are there two dogs on the left of the green cup?", "Is the cat on the table?")


def verdicts(folder: Path) -> dict[str, list[tuple[float, float]]]:
    """All pictures in one batch, (p_yes, p_no) in the order of the questions."""
    labeler = BatchLabeler.open(TritonSettings(model=str(folder), torch_threads=1))
    requests = [PictureQuestions(image=data, questions=QUESTIONS) for data in PICTURES.values()]
    found = {}
    for name, answers in zip(PICTURES, labeler.answer(requests), strict=True):
        assert isinstance(answers, PictureAnswers), answers
        found[name] = list(zip(answers.p_yes, answers.p_no, strict=True))
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps({Path(folder).name: verdicts(Path(folder)) for folder in sys.argv[1:]}))
