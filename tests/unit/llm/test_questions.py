"""One question for each claim, answered by yes exactly when the claim holds."""

from __future__ import annotations

import pytest

from rlaifv.adapters.llm.questions import REMEDIES, fault
from rlaifv.core.decomposition import LeftOutReason

NOT_ONE, DENIES = LeftOutReason.NOT_ONE_QUESTION, LeftOutReason.DENIES_OTHERWISE


@pytest.mark.parametrize(
    ("text", "question", "reason"),
    [
        ("There is a dog.", "Is there a dog?", None),
        ("The man wears a hat.", "Does the man wear a hat?", None),
        ("There is no dog.", "Is it true that there is no dog?", None),
        ("The man isn't tall.", "Is it true that the man is not tall?", None),
        ('The sign says "NO ENTRY".', 'Does the sign say "NO ENTRY"?', None),
        ("The sign says 'Why?'.", "Does the sign say 'Why?'?", None),
        ("The cup is red or brown.", "Is the cup red or brown?", None),
        ("There is a dog.", "", NOT_ONE),
        ("There is a dog.", "Is there a dog", NOT_ONE),
        ("There is a dog.", "Is there a dog? Is it brown?", NOT_ONE),
        ("There is a dog.", "Is there a dog and is it brown?", NOT_ONE),
        ("There is a dog.", "What is there?", NOT_ONE),
        ("There is a dog.", "There is a dog?", NOT_ONE),
        ("The cup is red.", "Is the cup red or brown?", NOT_ONE),
        ("There is a dog.", "Is there no dog?", DENIES),
        ("There is no dog.", "Is there a dog?", DENIES),
        ("There is no dog.", "Is there no dog?", DENIES),
        ("The man is tall.", "Isn't the man tall?", DENIES),
    ],
)
def test_rules_of_a_question(text: str, question: str, reason: LeftOutReason | None) -> None:
    assert fault(text, question) is reason


def test_the_model_is_told_what_to_mend_for_every_rule() -> None:
    assert set(REMEDIES) == set(LeftOutReason)
