"""Gate c: DPO with true labels lowers held-out hallucination; an offline check, never a part of the loop.

One round: sample candidates for fresh prompts, score each by its truly false claims, pair by the paper's rule, train, and
answer the held-out prompts again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from demo.gates.material import Examiner, Material
from demo.model.dense import image_features
from demo.model.inference import DemoModel, pixels_of
from demo.model.packing import CAPTION, Exchange, reply_logits
from demo.world.scenes import Split
from rlaifv.core.candidates import Candidate, FinishReason
from rlaifv.core.evaluation import Evaluation
from rlaifv.core.length_balance import balance_lengths
from rlaifv.core.pairs import PairRule, PreferencePair, prompt_pairs
from rlaifv.core.scoring import ScoredCandidate
from rlaifv.learning.loop import LoopSettings, TrainingLoop
from rlaifv.learning.objectives import DpoObjective, PairLogprobs

LARGEST_REMAINDER = 0.7
"""Of the start's hallucination after the rounds, at most."""
LEAST_KEPT = 0.95
"""Of the start's coverage and mean length, at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DpoPlan:
    """How to sample, pair and train.

    Beta 0.5 and 32 pairs a step where the paper has 0.1 and 8: so small a model drifts under small noisy steps, and what it
    has to unlearn is a difference of one or two nats, at which beta 0.1 still pushes with full force. The run files reach
    the same end with beta 0.1 and an anchor on the chosen answers.
    """

    rounds: int = 1
    prompts: int = 250
    candidates: int = 10
    temperature: float = 0.7
    beta: float = 0.5
    learning_rate: float = 1e-4
    epochs: int = 3
    batch: int = 32
    held_out: int = 500
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DpoFigures:
    """Held-out figures before the first round and after each."""

    evaluations: tuple[Evaluation, ...]
    pairs: tuple[int, ...]

    @property
    def passed(self) -> bool:
        """Hallucination clearly lower at the end, neither shorter nor poorer answers."""
        start, end = self.evaluations[0], self.evaluations[-1]
        return (
            end.response_hallucination <= LARGEST_REMAINDER * start.response_hallucination
            and end.coverage >= LEAST_KEPT * start.coverage
            and end.mean_words >= LEAST_KEPT * start.mean_words
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {**asdict(self), "passed": self.passed}


def measure_dpo(policy: Path, plan: DpoPlan) -> DpoFigures:
    """Run the rounds of `plan` from a checkpoint; nothing is written."""
    torch.manual_seed(plan.seed)
    speaker, examiner = DemoModel.load(policy), Examiner()
    held_out = Material(split=Split.EVALUATION, start=plan.seed * 100_000, size=plan.held_out)
    evaluations, pairs = [_answered(speaker, examiner, held_out)], []
    for index in range(plan.rounds):
        start = plan.seed * 100_000 + 50_000 + index * plan.prompts
        material = Material(split=Split.PROMPTS, start=start, size=plan.prompts)
        preferred = _true_pairs(speaker, examiner, material, plan)
        train(speaker, preferred, material, plan, seed=plan.seed * 100 + index)
        pairs.append(len(preferred))
        evaluations.append(_answered(speaker, examiner, held_out))
    return DpoFigures(evaluations=tuple(evaluations), pairs=tuple(pairs))


def _answered(speaker: DemoModel, examiner: Examiner, material: Material) -> Evaluation:
    answers = [said[0] for said in speaker.answers(material.pictures, material.prompts)]
    return examiner.evaluate(answers, material)


def _true_pairs(speaker: DemoModel, examiner: Examiner, material: Material, plan: DpoPlan) -> Sequence[PreferencePair]:
    sampled = speaker.answers(
        material.pictures, material.prompts, samples=plan.candidates, temperature=plan.temperature
    )
    pairs: list[PreferencePair] = []
    for index, answers in enumerate(sampled):
        false = examiner.false_claims(answers, material.truths[index])
        scored = [
            ScoredCandidate(candidate=_candidate(index, number, text), claims=(), score=-count)
            for number, (text, count) in enumerate(zip(answers, false, strict=True))
            if count is not None
        ]
        pairs += prompt_pairs(scored, PairRule(), plan.seed)[0]
    return balance_lengths(pairs).pairs


def _candidate(prompt: int, number: int, text: str) -> Candidate:
    return Candidate(
        prompt_id=str(prompt),
        index=number,
        seed=number,
        text=text,
        finish_reason=FinishReason.STOP,
        policy_version="gate",
    )


def train(speaker: DemoModel, pairs: Sequence[PreferencePair], material: Material, plan: DpoPlan, seed: int) -> None:
    """DPO on the language model and the projector, the vision tower as it is; the start is the reference."""
    scorer = _PairScorer(speaker, pairs, material)
    with torch.no_grad():
        parts = [scorer(range(i, min(i + 32, len(pairs)))) for i in range(0, len(pairs), 32)]
    reference = PairLogprobs(
        chosen=torch.cat([part.chosen for part in parts]), rejected=torch.cat([part.rejected for part in parts])
    )
    trained = {name: p for name, p in speaker.model.named_parameters() if "vision_tower" not in name}
    settings = LoopSettings(
        examples=len(pairs),
        epochs=plan.epochs,
        batch_size=plan.batch,
        micro_batch_size=plan.batch,
        learning_rate=plan.learning_rate,
        warmup_ratio=0.05,
        weight_decay=0.01,
        max_grad_norm=1.0,
        seed=seed,
    )
    for _ in TrainingLoop(trained, DpoObjective(score=scorer, reference=reference, beta=plan.beta), settings).run():
        pass


class _PairScorer:
    """Summed answer log-probabilities, chosen and rejected as two branches of one sequence."""

    def __init__(self, speaker: DemoModel, pairs: Sequence[PreferencePair], material: Material) -> None:
        self._speaker = speaker
        self._pairs = pairs
        self._prompts = material.prompts
        self._pixels = pixels_of(material.pictures)

    def __call__(self, examples: Sequence[int]) -> PairLogprobs:
        pairs = [self._pairs[index] for index in examples]
        of = [int(pair.prompt_id) for pair in pairs]
        packed = self._speaker.packer.pack(
            [
                [
                    Exchange(request=self._prompts[prompt], reply=side.candidate.text, type=CAPTION)
                    for side in (pair.chosen, pair.rejected)
                ]
                for prompt, pair in zip(of, pairs, strict=True)
            ]
        )
        features = image_features(self._speaker.model, self._pixels[of])
        logits = reply_logits(self._speaker.model, packed, features, self._speaker.packer.image_id)
        wanted = packed.targets != -100
        each = logits.log_softmax(-1).gather(1, packed.targets[wanted][:, None])[:, 0]
        sums = _sum_by(each, packed.branches[wanted] - 1 + 2 * wanted.nonzero()[:, 0], 2 * len(pairs))
        return PairLogprobs(chosen=sums[0::2], rejected=sums[1::2])


def _sum_by(values: Tensor, index: Tensor, size: int) -> Tensor:
    return torch.zeros(size, dtype=values.dtype).index_add(0, index, values)
