"""The labeler: right probabilities, whatever is asked beside; a model that cannot say yes is refused."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import torch

from rlaifv.adapters.huggingface.chat import ChatFormat
from rlaifv.adapters.huggingface.decoder import head_logits
from rlaifv.adapters.huggingface.labeler import HuggingFaceLabeler, LabelerOptions
from rlaifv.adapters.huggingface.loading import load_model
from rlaifv.adapters.huggingface.questions import AnswerTokens
from rlaifv.adapters.images import decode
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.errors import InvalidInput, RlaifvError
from rlaifv.core.images import Image
from rlaifv.core.training import Precision
from rlaifv.core.verdicts import Verdict, question_prompt
from rlaifv.ports.services import Questions
from tests.tiny_llava import picture, tiny_processor, tiny_tokenizer

IMAGES = [Image.of(picture(colour)) for colour in ((200, 30, 30), (20, 200, 40), (30, 40, 220))]
QUESTIONS = [
    "Is there a dog?",
    "Is the car on the left of the picture red?",
    "Are there two cups?",
    "Is it raining?",
    "Does the sign next to the second bus that stands on the right of the picture say 'STOP'?",
    "Red?",
    "Is 'yes' written on the cup? <image>",
    "Ist das ein Hund? 🐕",
]


async def verdicts(labeler: HuggingFaceLabeler, items: list[Questions]) -> dict[str, tuple[Verdict, ...]]:
    return {outcome.item_id: outcome.unwrap() async for outcome in labeler.ask(items)}


@pytest.fixture
async def labeler(checkpoint: Checkpoint) -> AsyncIterator[HuggingFaceLabeler]:
    opened = HuggingFaceLabeler.open(checkpoint)
    yield opened
    opened.close()


def test_every_spelling_is_found() -> None:
    tokenizer = tiny_tokenizer()
    tokens = AnswerTokens.of(tokenizer)
    spelled = {
        word: tokenizer.convert_ids_to_tokens(list(ids)) for word, ids in (("yes", tokens.yes), ("no", tokens.no))
    }
    assert set(spelled["yes"]) >= {"yes", "ĠYes", "ĠYES"}
    assert set(spelled["no"]) >= {"Ġno", "ĠNo", "ĠNO"}
    for word, found in spelled.items():
        assert all(token.lstrip("Ġ").lower() == word for token in found)


def test_a_tokenizer_without_yes_is_refused() -> None:
    with pytest.raises(InvalidInput, match="yes"):
        AnswerTokens.of(tiny_tokenizer(vocab_size=262))


async def test_probabilities_equal_one_forward_per_question(
    labeler: HuggingFaceLabeler, checkpoint: Checkpoint
) -> None:
    """The published procedure: one question, one forward, softmax over the whole vocabulary."""
    loaded = load_model(checkpoint)
    tokens = AnswerTokens.of(loaded.chat.tokenizer)
    found = (await verdicts(labeler, [Questions(id="a", image=IMAGES[0], questions=tuple(QUESTIONS))]))["a"]
    prepared = loaded.chat.prepare(decode(IMAGES[0].data))
    for verdict in found:
        ids = loaded.chat.prompt_ids(loaded.chat.render(question_prompt(loaded.chat.clean(verdict.question))), prepared)
        with torch.inference_mode():
            p = loaded.model(input_ids=torch.tensor([ids]), **prepared.inputs).logits[0, -1].float().softmax(-1)
        assert verdict.p_yes == pytest.approx(float(p[list(tokens.yes)].sum()), abs=1e-6)
        assert verdict.p_no == pytest.approx(float(p[list(tokens.no)].sum()), abs=1e-6)
        assert verdict.labeler_version == checkpoint.digest


async def test_a_verdict_does_not_depend_on_what_else_is_asked(labeler: HuggingFaceLabeler) -> None:
    alone: dict[tuple[int, str], Verdict] = {}
    for number, image in enumerate(IMAGES):
        for question in QUESTIONS:
            asked = await verdicts(labeler, [Questions(id="x", image=image, questions=(question,))])
            alone[number, question] = asked["x"][0]
    chooser = random.Random(1)
    for _ in range(12):
        items = [
            Questions(id=f"{number}-{k}", image=IMAGES[number], questions=tuple(chooser.choices(QUESTIONS, k=size)))
            for k, size in enumerate(chooser.choices([1, 2, 5, 20], k=4))
            for number in [chooser.randrange(3)]
        ]
        for item_id, found in (await verdicts(labeler, items)).items():
            for verdict in found:
                assert verdict == alone[int(item_id[0]), verdict.question], "to the bit"


async def test_memory_bound_does_not_change_verdicts(labeler: HuggingFaceLabeler, checkpoint: Checkpoint) -> None:
    item = Questions(id="a", image=IMAGES[1], questions=tuple(QUESTIONS))
    small = HuggingFaceLabeler.open(checkpoint, LabelerOptions(branch_bytes=1))
    expected, found = (await verdicts(labeler, [item]))["a"], (await verdicts(small, [item]))["a"]
    small.close()
    assert found == expected, "to the bit"


async def test_repeated_questions_are_asked_once_and_order_is_kept(labeler: HuggingFaceLabeler) -> None:
    asked = (QUESTIONS[1], QUESTIONS[0], QUESTIONS[1], QUESTIONS[1])
    found = (await verdicts(labeler, [Questions(id="a", image=IMAGES[0], questions=asked)]))["a"]
    assert tuple(verdict.question for verdict in found) == asked
    assert found[0] == found[2] == found[3]
    assert (labeler.activity().questions, labeler.activity().asked) == (4, 2)


async def test_no_questions_no_verdicts(labeler: HuggingFaceLabeler) -> None:
    assert (await verdicts(labeler, [Questions(id="a", image=IMAGES[0], questions=())]))["a"] == ()


async def test_one_bad_item_never_fails_its_neighbours(labeler: HuggingFaceLabeler) -> None:
    good = Questions(id="good", image=IMAGES[0], questions=(QUESTIONS[0],))
    items = [
        replace(good, id="image", image=Image.of(b"junk")),
        replace(good, id="empty", questions=("Is it red?", " <image> ")),
        replace(good, id="long", questions=("word " * 4000,)),
        good,
    ]
    outcomes = {outcome.item_id: outcome async for outcome in labeler.ask(items)}
    expected: dict[str, tuple[type[RlaifvError], str]] = {
        "image": (InvalidInput, "no picture"),
        "empty": (InvalidInput, "question"),
        "long": (InvalidInput, "256"),
    }
    for item_id, (kind, words) in expected.items():
        error = outcomes[item_id].error
        assert isinstance(error, kind)
        assert words in error.message
    assert len(outcomes["good"].unwrap()) == 1


async def test_two_versions_never_share_an_answer(checkpoint: Checkpoint, other_checkpoint: Checkpoint) -> None:
    item = Questions(id="a", image=IMAGES[0], questions=tuple(QUESTIONS))
    found = []
    for version in (checkpoint, other_checkpoint):
        labeler = HuggingFaceLabeler.open(version)
        found.append((await verdicts(labeler, [item]))["a"])
        labeler.close()
    assert all(a.p_yes != b.p_yes for a, b in zip(*found, strict=True))
    assert {v.labeler_version for v in found[1]} == {other_checkpoint.digest}


def test_the_question_follows_the_image() -> None:
    rendered = ChatFormat(tiny_processor()).render(question_prompt("Is there a dog?"))
    assert rendered.index("<image>") < rendered.index("Is there a dog?") < rendered.index("Answer with yes or no.")


def test_bf16_weights_do_not_round_verdicts_to_ties(checkpoint: Checkpoint) -> None:
    """Reference fault 13: at logits near 20 bf16 knows steps of 0.125 only, and every tie counted as a rejection."""
    loaded = load_model(checkpoint, Precision.BF16, "cpu")
    head = torch.nn.Linear(2, 3, bias=False, dtype=torch.bfloat16)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[20.0, 0.0], [20.0, 1.0], [0.0, 0.0]]))
        hidden = torch.tensor([[1.0, 0.03125]], dtype=torch.bfloat16)
        rounded = head_logits(loaded.model, head, hidden)
        exact = head_logits(loaded.model, head, hidden, exact=torch.tensor([0, 1]))
    assert rounded[0, 0] == rounded[0, 1]
    assert exact[0].tolist() == [20.0, 20.03125, 0.0]
