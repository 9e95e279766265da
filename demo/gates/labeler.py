"""Gate b: the labelers can tell true from false claims of the policy, within each claim type."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from demo.gates.material import Examiner, Material
from demo.model.inference import DemoModel
from demo.world.scenes import Split
from rlaifv.core.scene import judge

LEAST_STRONGER = 0.80
LEAST_SELF = 0.70
SAMPLES = 6
TEMPERATURE = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeFigures:
    """One labeler on the claims of one type."""

    true_claims: int
    false_claims: int
    balanced_accuracy: float
    """Mean of the shares of true claims accepted and of false claims rejected."""
    auc: float
    """Chance that a true claim gets a higher p_yes / (p_yes + p_no) than a false one of the same type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelerFigures:
    """Both labelers on the unaligned policy's own sampled claims."""

    stronger: dict[str, TypeFigures]
    own: dict[str, TypeFigures]
    """The policy itself, for self-feedback."""

    @property
    def passed(self) -> bool:
        """Every type of both labelers reaches its least balanced accuracy."""
        return all(figures.balanced_accuracy >= LEAST_STRONGER for figures in self.stronger.values()) and all(
            figures.balanced_accuracy >= LEAST_SELF for figures in self.own.values()
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {"stronger": _plain(self.stronger), "self": _plain(self.own), "passed": self.passed}


def measure_labelers(policy: Path, stronger: Path, size: int, seed: int) -> LabelerFigures:
    """Sample answers to `size` held-out prompts and put their claims to both labelers."""
    examiner, material = Examiner(), Material(split=Split.MONITOR, start=seed * 100_000 + 10_000, size=size)
    torch.manual_seed(seed)
    speaker = DemoModel.load(policy)
    sampled = speaker.answers(material.pictures, material.prompts, samples=SAMPLES, temperature=TEMPERATURE)
    unique = [
        list({claim.text: claim for claims in examiner.claims(answers) for claim in claims}.values())
        for answers in sampled
    ]
    truths = [
        [(claim.type.value, judge(claim.text, truth)) for claim in claims]
        for claims, truth in zip(unique, material.truths, strict=True)
    ]
    questions = [[claim.question for claim in claims] for claims in unique]
    own, other = (
        _by_type(model.opinions(material.pictures, questions), truths) for model in (speaker, DemoModel.load(stronger))
    )
    return LabelerFigures(own=own, stronger=other)


def _by_type(opinions: list[Any], truths: list[list[tuple[str, bool | None]]]) -> dict[str, TypeFigures]:
    scores: dict[str, dict[bool, list[float]]] = defaultdict(lambda: {True: [], False: []})
    for row, known in zip(opinions, truths, strict=True):
        for opinion, (claim_type, true) in zip(row, known, strict=True):
            if true is not None:
                scores[claim_type][true].append(opinion.p_yes / (opinion.p_yes + opinion.p_no))
    return {name: _figures(sides[True], sides[False]) for name, sides in sorted(scores.items()) if all(sides.values())}


def _figures(true: list[float], false: list[float]) -> TypeFigures:
    accepted = sum(score > 0.5 for score in true) / len(true)
    rejected = sum(score <= 0.5 for score in false) / len(false)
    wins = sum((t > f) + 0.5 * (t == f) for t in true for f in false)
    return TypeFigures(
        true_claims=len(true),
        false_claims=len(false),
        balanced_accuracy=(accepted + rejected) / 2,
        auc=wins / (len(true) * len(false)),
    )


def _plain(figures: dict[str, TypeFigures]) -> dict[str, Any]:
    return {name: asdict(values) for name, values in figures.items()}
