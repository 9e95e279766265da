"""One way from a picture to pixels and from a text to tokens: policy, labeler and trainer feed the model the same bits."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import AutoImageProcessor

from rlaifv.adapters.huggingface.chat import ChatFormat
from rlaifv.adapters.huggingface.labeler import HuggingFaceLabeler
from rlaifv.adapters.huggingface.loading import LoadedModel, load_model, load_processor
from rlaifv.adapters.huggingface.policy import HuggingFacePolicy
from rlaifv.adapters.huggingface.training_data import EncodedPair, PairData
from rlaifv.adapters.huggingface.training_model import TrainingModel
from rlaifv.adapters.huggingface.vision import FeatureCache, VisionEncoder
from rlaifv.adapters.images import decode
from rlaifv.core.candidates import Prompt, Sampling
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.images import Image
from rlaifv.core.training import Hyperparameters
from rlaifv.learning.sequences import join
from rlaifv.ports.services import Generation, Questions
from tests.families.pictures import PICTURES
from tests.families.plain import Plain
from tests.families.test_training import FULL, LORA, VISION

TEXT = "What do you see?"


class Eye:
    """All tensors that go into a model's vision tower, call by call."""

    def __init__(self, model: Any) -> None:
        self.calls: list[list[Tensor]] = []
        model.get_encoder(modality="image").register_forward_pre_hook(self._look, with_kwargs=True)

    def _look(self, _: Any, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
        values = [*positional, *(named[name] for name in sorted(named))]
        self.calls.append([value.detach().clone() for value in values if isinstance(value, Tensor)])


async def seen_by_policy(checkpoint: Checkpoint) -> list[list[Tensor]]:
    loaded = load_model(checkpoint)
    policy = HuggingFacePolicy(loaded)
    eye = Eye(loaded.model)
    sampling = Sampling(max_new_tokens=1)
    items = [
        Generation(prompt=Prompt(id=name, image=Image(data=data), text=TEXT), seeds=(1, 2), sampling=sampling)
        for name, data in PICTURES.items()
    ]
    assert [outcome.unwrap() async for outcome in policy.generate(items)]
    await policy.close()
    return eye.calls


async def seen_by_labeler(checkpoint: Checkpoint) -> list[list[Tensor]]:
    loaded = load_model(checkpoint)
    labeler = HuggingFaceLabeler(loaded)
    eye = Eye(loaded.model)
    questions = ("Is it red?", "Is it blue?")
    items = [Questions(id=name, image=Image(data=data), questions=questions) for name, data in PICTURES.items()]
    assert [outcome.unwrap() async for outcome in labeler.ask(items)]
    labeler.close()
    return eye.calls


def seen_by_trainer(checkpoint: Checkpoint, hyper: Hyperparameters) -> list[list[Tensor]]:
    loaded = load_model(checkpoint)
    data = PairData(chat=loaded.chat, digest="", images=dict(PICTURES), dropped=Counter())
    rendered = loaded.chat.render(TEXT)
    for name in PICTURES:
        prompt = loaded.chat.prompt_ids(rendered, data.prepare(name))
        answers = [loaded.chat.answer_ids(rendered, answer) for answer in ("A cat.", "No.")]
        chosen, rejected = (join(prompt, answer, loaded.end_of_sequence) for answer in answers)
        data.pairs.append(EncodedPair(chosen=chosen, rejected=rejected, image=name))
    model = TrainingModel(loaded, data, hyper)
    eye = Eye(loaded.model)
    model.reference(batch_size=1)
    # Where the tower's output is kept, a second call for each picture gets it; that one does not look.
    return eye.calls[:: len(eye.calls) // len(PICTURES)]


def test_all_services_see_the_same_pixels(checkpoint: Checkpoint, plain: Plain) -> None:
    eye = Eye(plain.model)
    for data in PICTURES.values():
        plain.next_logits(data, TEXT)
    assert len(eye.calls) == len(PICTURES)
    assert all(max(tensor.numel() for tensor in call) > 1000 for call in eye.calls)
    ways = {
        "policy": asyncio.run(seen_by_policy(checkpoint)),
        "labeler": asyncio.run(seen_by_labeler(checkpoint)),
        "trainer": seen_by_trainer(checkpoint, FULL),
        "trainer with vision": seen_by_trainer(checkpoint, VISION),
        "trainer with LoRA": seen_by_trainer(checkpoint, LORA),
    }
    for way, calls in ways.items():
        for name, found, stated in zip(PICTURES, calls, eye.calls, strict=True):
            assert len(found) == len(stated), (way, name)
            assert all(torch.equal(one, other) for one, other in zip(found, stated, strict=True)), (way, name)


PIECES = [
    "\n",
    "\n\n",
    " ",
    "yes",
    "Is it?",
    "<image>",
    "</s>",
    "<|image_pad|>",
    "<start_of_image>",
    "é",
    "🦊",
    "<im",
    "▁",
]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=6), name=st.sampled_from(sorted(PICTURES)))
def test_prompts_have_the_processors_own_tokens(loaded: LoadedModel, pieces: list[str], name: str) -> None:
    """Whatever the text begins with, next to whatever the family writes after a picture."""
    chat = loaded.chat
    text = chat.clean("".join(pieces)) or "What?"
    picture, rendered = decode(PICTURES[name]), chat.render(text)
    stated = chat.process(picture, rendered)["input_ids"][0].tolist()
    assert list(chat.prompt_ids(rendered, chat.prepare(picture))) == stated


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.sampled_from([*PIECES, "a cat", "ASSISTANT:", "<|im_end|>", "<end_of_turn>"]), max_size=6))
def test_answers_come_back_and_hold_no_special_token(loaded: LoadedModel, pieces: list[str]) -> None:
    chat, answer = loaded.chat, "".join(pieces)
    rendered = chat.render(TEXT)
    ids = list(chat.answer_ids(rendered, answer))
    assert not set(ids) & set(chat.tokenizer.all_special_ids)
    said = chat.tokenizer.decode(ids, clean_up_tokenization_spaces=False)
    assert said.replace("▁", " ").strip(" ") == answer.replace("▁", " ").strip(" ")


@pytest.mark.parametrize("text", ["What?", "\n\nWhat?\n", "What is it?\n\n\nWhere?"])
def test_line_breaks_that_are_tokens_of_their_own(made: dict[str, Path], text: str) -> None:
    """Gemma's tokenizers never divide runs of line breaks; those around a picture are text all the same."""
    processor = load_processor(made["gemma3"])
    processor.tokenizer.add_tokens(["\n" * count for count in range(1, 5)])
    chat, picture = ChatFormat(processor), decode(PICTURES["wide"])
    rendered = chat.render(text)
    stated = chat.process(picture, rendered)["input_ids"][0].tolist()
    assert list(chat.prompt_ids(rendered, chat.prepare(picture))) == stated


def test_answers_end_as_the_template_ends_them(loaded: LoadedModel, family: str) -> None:
    ends = {
        "llava": "</s>",
        "llava_next": "</s>",
        "idefics3": "<end_of_utterance>",
        "smolvlm": "<end_of_utterance>",
        "gemma3": "<end_of_turn>",
    }
    assert loaded.chat.tokenizer.convert_ids_to_tokens(loaded.end_of_sequence) == ends.get(family, "<|im_end|>")


def test_what_a_picture_weighs(loaded: LoadedModel, family: str) -> None:
    """As docs/models.md says: tokens x width x 4 bytes in fp32, Qwen3-VL once more for each depth."""
    prepared = loaded.chat.prepare(decode(PICTURES["large"]))
    tokens = prepared.placeholders.count(loaded.model.config.image_token_id)
    cache: FeatureCache[int] = FeatureCache(1 << 30)
    with torch.inference_mode():
        cache.put(("weights", "picture"), 0, VisionEncoder(loaded.model).encode(prepared))
    depths = {"qwen3_vl": 3}.get(family, 1)
    assert 0 <= cache.bytes - tokens * 64 * 4 * depths <= 32


@pytest.fixture(scope="module")
def loaded(checkpoint: Checkpoint) -> LoadedModel:
    return load_model(checkpoint)


def test_a_folder_decides_the_pixels_not_the_name_it_gives_its_processor(made: dict[str, Path], tmp_path: Path) -> None:
    """Hub files name the image processor with and without "Fast", transformers 5 also with "Pil"."""
    picture = decode(PICTURES["large"])
    found = []
    for name in ("CLIPImageProcessor", "CLIPImageProcessorFast", "CLIPImageProcessorPil"):
        folder = Path(shutil.copytree(made["llava"], tmp_path / name))
        path = folder / "processor_config.json"
        config = json.loads(path.read_text())
        config["image_processor"]["image_processor_type"] = name
        path.write_text(json.dumps(config))
        found.append(load_processor(folder).image_processor(images=[picture], return_tensors="pt")["pixel_values"])
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
    other = AutoImageProcessor.from_pretrained(made["llava"], backend="pil")(images=[picture], return_tensors="pt")
    assert not torch.equal(other["pixel_values"], found[0])
