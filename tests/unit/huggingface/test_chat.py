"""Text to tokens: one image placeholder, whatever the user writes; answers that train whatever they hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaifv.adapters.huggingface.chat import ChatFormat
from rlaifv.adapters.images import decode
from rlaifv.core.errors import InvalidInput
from tests.tiny_llava import picture, tiny_processor

IMAGE_ID = 3
CHAT = ChatFormat(tiny_processor())
PREPARED = CHAT.prepare(decode(picture()))
PIECES = ["<image>", "<|user|>", "<|assistant|>", "</s>", "<s>", "<pad>", "<ima", "ge>", "dog", " ", "é", "🦊", "\n"]


@given(st.lists(st.sampled_from(PIECES), max_size=12))
def test_exactly_one_image_whatever_the_text(pieces: list[str]) -> None:
    """Reference fault 11: "<image>" in a question made a second placeholder."""
    text = "".join(pieces)
    if not CHAT.clean(text):
        with pytest.raises(InvalidInput, match=r"prompt\.text"):
            CHAT.render(text)
        return
    ids = CHAT.prompt_ids(CHAT.render(text), PREPARED)
    assert ids.count(IMAGE_ID) == 4
    assert sum(ids.count(special) for special in (1, 2, 4, 5)) == 3


def test_same_ids_as_the_processor_gives() -> None:
    rendered = CHAT.render("What is on the left?")
    stated = CHAT.processor(images=[decode(picture())], text=rendered, add_special_tokens=False)["input_ids"][0]
    assert list(CHAT.prompt_ids(rendered, PREPARED)) == list(stated)


def test_image_before_text() -> None:
    rendered = CHAT.render("What?")
    assert rendered.index("<image>") < rendered.index("What?")


@pytest.mark.parametrize(
    "answer",
    [
        "A dog.",
        "USER: hi ASSISTANT: yes",
        "see <image> here",
        "</s> goes on <|assistant|>",
        "",
        "日本語 🦊",
        "a\n\n- b\n",
    ],
)
def test_answers_come_back_as_they_were_and_hold_no_special_id(answer: str) -> None:
    """Reference fault 10: an answer with role markers or "<image>" in it trains like any other."""
    ids = CHAT.answer_ids(CHAT.render("What?"), answer)
    assert all(token > 5 for token in ids)
    assert CHAT.tokenizer.decode(ids, clean_up_tokenization_spaces=False) == answer


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(InvalidInput, match="Unicode"):
        CHAT.render("what \udc80")


def test_a_template_with_a_leading_space_before_answers_is_followed() -> None:
    """LLaVA 1.5 writes "ASSISTANT:" and then " answer": what the policy generates begins with that space."""
    processor = tiny_processor()
    processor.chat_template = (
        "{% for m in messages %}{{ m['role'].upper() }}: {% for p in m['content'] %}"
        "{% if p['type'] == 'image' %}<image>\n{% endif %}{% endfor %}{% for p in m['content'] %}"
        "{% if p['type'] == 'text' %}{{ p['text'] }} {% endif %}{% endfor %}{% endfor %}"
        "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
    )
    chat = ChatFormat(processor)
    ids = chat.answer_ids(chat.render("What?"), "There is")
    assert chat.tokenizer.decode(ids) == " There is"


def test_a_processor_without_template_is_refused() -> None:
    processor = tiny_processor()
    processor.chat_template = None
    processor.tokenizer.chat_template = None
    with pytest.raises(InvalidInput, match="chat template"):
        ChatFormat(processor)
