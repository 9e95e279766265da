"""The committed checkpoints load as any model does, and do what the demo needs of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from demo.gates.__main__ import CHECKPOINTS
from demo.gates.material import Material
from demo.model.inference import DemoModel
from demo.model.tokenizer import build_tokenizer
from demo.world.questions import ask
from demo.world.scenes import Split, sample_scene
from rlaifv.core.scene import judge

NAMES = ("policy", "stronger")


@pytest.mark.parametrize("name", NAMES)
def test_loads_with_the_auto_classes_and_answers_from_the_chat_template(name: str) -> None:
    processor = AutoProcessor.from_pretrained(CHECKPOINTS / name)
    model = AutoModelForImageTextToText.from_pretrained(CHECKPOINTS / name)
    content = [{"type": "image"}, {"type": "text", "text": "Describe the image."}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    assert text.index("<image>") < text.index("Describe")
    material = Material(split=Split.MONITOR, start=0, size=1)
    inputs = processor(images=material.pictures[0], text=text, return_tensors="pt").to(torch.bfloat16)
    reply = model.generate(**inputs)[0, inputs["input_ids"].shape[1] :]
    assert reply[-1] == processor.tokenizer.eos_token_id
    assert processor.tokenizer.decode(reply, skip_special_tokens=True).startswith("There ")


def test_both_are_small_and_have_the_committed_tokenizer() -> None:
    files = [path for name in NAMES for path in (CHECKPOINTS / name).iterdir()]
    assert sum(path.stat().st_size for path in files) <= 25 * 2**20
    for name in NAMES:
        stored = AutoProcessor.from_pretrained(CHECKPOINTS / name).tokenizer
        assert stored.get_vocab() == build_tokenizer().get_vocab()


@pytest.mark.parametrize(("name", "least"), [("policy", 0.8), ("stronger", 0.9)])
def test_answers_questions_about_new_pictures(name: str, least: float) -> None:
    import random

    rng, material = random.Random(0), Material(split=Split.MONITOR, start=500, size=40)
    asked = [ask(sample_scene(Split.MONITOR.seed(500 + index)).groups(), rng, 1) for index in range(40)]
    opinions = DemoModel.load(Path(CHECKPOINTS / name)).opinions(
        material.pictures, [[question.text for question in row] for row in asked]
    )
    pairs = [(o, q) for row, qs in zip(opinions, asked, strict=True) for o, q in zip(row, qs, strict=True)]
    assert sum((o.p_yes > o.p_no) == q.answer for o, q in pairs) / len(pairs) >= least
    assert min(o.p_yes + o.p_no for o, _ in pairs) > 0.9


def test_the_policy_hallucinates_and_could_know_better() -> None:
    """Some of what it says it would itself deny: habit, not blindness."""
    from demo.gates.material import Examiner

    speaker, material, examiner = (
        DemoModel.load(CHECKPOINTS / "policy"),
        Material(split=Split.MONITOR, start=0, size=60),
        Examiner(),
    )
    answers = [said[0] for said in speaker.answers(material.pictures, material.prompts)]
    claims = examiner.claims(answers)
    opinions = speaker.opinions(material.pictures, [[claim.question for claim in row] for row in claims])
    false = [
        opinion
        for row, said, truth in zip(claims, opinions, material.truths, strict=True)
        for claim, opinion in zip(row, said, strict=True)
        if judge(claim.text, truth) is False
    ]
    assert len(false) >= 10
    assert sum(opinion.p_no > opinion.p_yes for opinion in false) / len(false) >= 0.7
