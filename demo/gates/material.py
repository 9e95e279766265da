"""Pictures with known content, prompts about them, and what is true of answers: the common ground of the gates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from PIL import Image

from demo.world.captions import PROMPTS
from demo.world.pictures import picture
from demo.world.scenes import Split, sample_scene
from rlaifv.adapters.grammar.decomposer import GrammarDecomposer
from rlaifv.core.claims import Claim, ClaimType
from rlaifv.core.evaluation import EvaluatedAnswer, Evaluation, evaluate
from rlaifv.core.scene import Scene, coverage, judge


@dataclass(frozen=True, kw_only=True)
class Material:
    """`size` prompts about scenes of one split, from `start` on."""

    split: Split
    start: int
    size: int

    @cached_property
    def pictures(self) -> list[Image.Image]:
        """The scenes, drawn."""
        return [picture(sample_scene(self._seed(index))) for index in range(self.size)]

    @cached_property
    def truths(self) -> list[Scene]:
        """What each picture shows."""
        return [sample_scene(self._seed(index)).annotation() for index in range(self.size)]

    @cached_property
    def prompts(self) -> list[str]:
        """Every prompt of the world in turn."""
        return [PROMPTS[index % len(PROMPTS)] for index in range(self.size)]

    def _seed(self, index: int) -> int:
        return self.split.seed(self.start + index)


class Examiner:
    """Divides answers into claims as the loop does, and judges them by the scenes as only evaluation may."""

    def __init__(self) -> None:
        self._decomposer = GrammarDecomposer()

    def claims(self, answers: Sequence[str]) -> list[tuple[Claim, ...]]:
        """The claims of each answer."""
        return [divided.claims for divided in self._decomposer.decompose_many(answers)]

    def false_claims(self, answers: Sequence[str], truth: Scene) -> list[int | None]:
        """How many claims of each answer about one scene are false; None for an answer without claims."""
        return [
            sum(judge(claim.text, truth) is False for claim in claims) if claims else None
            for claims in self.claims(answers)
        ]

    def evaluate(self, answers: Sequence[str], material: Material, seed: int = 0) -> Evaluation:
        """Hallucination, coverage and length of one answer per prompt."""
        rows = zip(answers, self.claims(answers), material.truths, strict=True)
        evaluated = [
            EvaluatedAnswer(
                prompt_id=str(index),
                text=answer,
                truths=tuple(judge(claim.text, truth) for claim in claims),
                coverage=coverage(answer, truth),
            )
            for index, (answer, claims, truth) in enumerate(rows)
        ]
        return evaluate(evaluated, seed)

    def false_share_by_type(self, answers: Sequence[str], material: Material) -> dict[ClaimType, float]:
        """Share of false claims among the claims of each type."""
        counts: Counter[tuple[ClaimType, bool]] = Counter()
        for claims, truth in zip(self.claims(answers), material.truths, strict=True):
            counts.update((claim.type, judge(claim.text, truth) is False) for claim in claims)
        types = sorted({claim_type for claim_type, _ in counts})
        return {t: counts[t, True] / (counts[t, True] + counts[t, False]) for t in types}
