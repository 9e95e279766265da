"""The parts of the demo model's training, against the ordinary path through the processor and the model."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from demo.model.architecture import GRID, INPUT_SIZE, build_model, build_processor
from demo.model.corpus import BACKGROUND, shown_objects
from demo.model.dense import QUESTIONS, image_features, normalised, patch_targets, schedule
from demo.model.packing import CAPTION, Packer, reply_logits
from demo.model.tokenizer import VERDICT_WORDS, build_tokenizer, word_id
from demo.world.pictures import picture
from demo.world.scenes import PlacedObject, WorldScene, sample_scene
from demo.world.vocabulary import COLOURS, KINDS


@pytest.fixture(scope="module")
def processor() -> LlavaProcessor:
    return build_processor(build_tokenizer())


@pytest.fixture(scope="module")
def model(processor: LlavaProcessor) -> LlavaForConditionalGeneration:
    return build_model(processor.tokenizer, seed=0).eval()


def test_every_word_of_the_world_is_one_token() -> None:
    tokenizer = build_tokenizer()
    words = [*(kind.name for kind in KINDS), *(kind.plural for kind in KINDS), *COLOURS]
    assert len({word_id(tokenizer, word) for word in words}) == len(words)
    for word in VERDICT_WORDS:
        for spelling in (word, f" {word}"):
            assert len(tokenizer.encode(spelling, add_special_tokens=False)) == 1
    with pytest.raises(ValueError, match="zebra"):
        word_id(tokenizer, "zebra")


@pytest.mark.parametrize("text", ["naïve — 猫 🚗", "\x00\n\t", "A zebra, really?"])
def test_any_text_has_tokens(text: str) -> None:
    tokenizer = build_tokenizer()
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_packed_branches_score_as_they_would_alone(
    model: LlavaForConditionalGeneration, processor: LlavaProcessor
) -> None:
    scenes = [sample_scene(3), sample_scene(4)]
    packer = Packer(processor.tokenizer)
    rows = [packer.exchanges(scenes[0], random.Random(0), 1), packer.exchanges(scenes[1], random.Random(1), 1)[:3]]
    packed = packer.pack(rows)
    pixels = normalised(
        np.stack([np.asarray(picture(s).resize((INPUT_SIZE, INPUT_SIZE), Image.Resampling.BICUBIC)) for s in scenes])
    )
    with torch.no_grad():
        logits = reply_logits(model, packed, image_features(model, pixels), packer.image_id)
        at = 0
        for scene, exchanges in zip(scenes, rows, strict=True):
            for exchange in exchanges:
                text = f"<s><user><image>{exchange.request}<assistant>{exchange.reply}"
                inputs = processor(images=picture(scene), text=text, return_tensors="pt")
                tokens = len(processor.tokenizer.encode(exchange.reply)) + 1
                alone = model(**inputs).logits[0, -tokens:]
                torch.testing.assert_close(logits[at : at + tokens], alone, atol=1e-5, rtol=1e-4)
                at += tokens
    assert at == len(logits)


def test_verdicts_stand_at_the_yes_or_no(processor: LlavaProcessor) -> None:
    packer = Packer(processor.tokenizer)
    exchanges = packer.exchanges(sample_scene(5), random.Random(0), 1)
    packed = packer.pack([exchanges])
    wanted = [packer.token(exchange.reply) for exchange in exchanges if exchange.type != CAPTION]
    assert packed.targets[packed.verdicts].tolist() == wanted
    assert packed.types == [[exchange.type for exchange in exchanges if exchange.type != CAPTION]]


def test_patches_know_the_object_that_fills_them() -> None:
    car = PlacedObject(kind="car", colour="red", cell=0, dx=0, dy=0, size=62)
    star = PlacedObject(kind="star", colour="blue", cell=8, dx=0, dy=0, size=62)
    scene = WorldScene(seed=0, objects=(car, star))
    shown = shown_objects(scene).reshape(GRID, GRID)
    assert shown[1, 1] == 0
    assert shown[GRID - 2, GRID - 2] == 1
    assert (shown[2:4, 2:4] == BACKGROUND).all()
    targets = patch_targets(scene, shown.reshape(-1)).reshape(GRID, GRID, len(QUESTIONS))
    said = [words[index] for words, index in zip(QUESTIONS, targets[1, 1], strict=True)]
    assert said == ["car", "cars", "red", "one", "top", "left", "first"]
    assert QUESTIONS[0][targets[2, 2, 0]] == "background"
    assert (targets[2, 2, 2:] == -100).all()


def test_schedule_warms_up_and_cools_down() -> None:
    factors = [schedule(step, 100, 10) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert max(factors) == pytest.approx(1.0)
    assert factors[-1] < 0.03
    assert factors[10:] == sorted(factors[10:], reverse=True)
