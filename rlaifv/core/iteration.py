"""One iteration of the loop as a state machine (RLAIF-V, sec. 3.3: feedback from the newest policy, round after round).

    COLLECTING --all shards done--> PAIRING --pairs--> TRAINING --checkpoint--> VALIDATING --better--> EVALUATING --> DONE
                                       |                                            |                     ^
                                       +--------------- too few pairs --------------+------ not better ---+

| stage      | reads                              | writes                      | what a crash leaves behind                  |
|------------|------------------------------------|-----------------------------|---------------------------------------------|
| COLLECTING | prompts, policy, labeler           | one scored shard after another | finished shards; the others start again  |
| PAIRING    | all scored shards                  | the pair file               | nothing; it is a pure function of the shards |
| TRAINING   | the pair file, the start's weights | a checkpoint                | the trainer's last complete checkpoint       |
| VALIDATING | validation prompts, both policies  | a decision                  | nothing; it is made again with the same seeds |
| EVALUATING | evaluation prompts, ground truth   | figures for people          | nothing; they steer nothing                  |

The reference model of DPO is the iteration's start policy. It also answers, unless a run allows staleness: then an iteration is
collected by the start of the one before, while that one trains. Only VALIDATING decides on promotion; evaluation never does
(reference fault 19: the published models were selected on the benchmarks they report).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.errors import Conflict, InvalidInput

PAPER_ITERATIONS = 4
"""Iterations of the paper's loop."""


class Stage(StrEnum):
    """Where an iteration is."""

    COLLECTING = "collecting"
    PAIRING = "pairing"
    TRAINING = "training"
    VALIDATING = "validating"
    EVALUATING = "evaluating"
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """Greedy answers to the validation prompts, judged by the labeler. Means are over answers that have a score."""

    mean_score: float
    mean_words: float
    answers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotionRule:
    """A checkpoint is promoted if its mean validation score is higher by more than `min_improvement` and its answers keep
    at least the share `min_words_ratio` of the start's mean length: shorter answers are not alignment."""

    min_improvement: float = 0.0
    min_words_ratio: float = 0.9

    def __post_init__(self) -> None:
        if self.min_improvement < 0:
            raise InvalidInput.field("promotion.min_improvement", self.min_improvement, "must be 0 or more")
        if not 0.0 <= self.min_words_ratio <= 1.0:
            raise InvalidInput.field("promotion.min_words_ratio", self.min_words_ratio, "must be between 0 and 1")

    def promotes(self, before: Validation, after: Validation) -> bool:
        """Whether `after` (the trained policy) takes the place of `before` (the iteration's start)."""
        if after.answers == 0:
            return False
        longer_enough = after.mean_words >= self.min_words_ratio * before.mean_words
        return longer_enough and after.mean_score > before.mean_score + self.min_improvement


@dataclass(frozen=True, slots=True, kw_only=True)
class IterationState:
    """Everything the loop must know to go on. `start` is DPO's reference, and the policy that answers unless `answering` says
    which older one did."""

    index: int
    start: Checkpoint
    shards: int
    answering: Checkpoint | None = None
    stage: Stage = Stage.COLLECTING
    shards_done: frozenset[int] = frozenset()
    pairs: int = 0
    trained: Checkpoint | None = None
    before: Validation | None = None
    after: Validation | None = None
    promoted: bool = False

    @property
    def result(self) -> Checkpoint:
        """The policy of the next iteration."""
        return self.trained if self.promoted and self.trained is not None else self.start


@dataclass(frozen=True, slots=True)
class ShardDone:
    """Shard `shard` (from 0) is collected; the same shard twice is the same event."""

    shard: int


@dataclass(frozen=True, slots=True)
class PairsBuilt:
    """The pair file holds `pairs` pairs; under `min_pairs` nothing is trained."""

    pairs: int
    min_pairs: int = 1


@dataclass(frozen=True, slots=True)
class Trained:
    """Training ended with `checkpoint`."""

    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class Validated:
    """Both policies answered the validation prompts."""

    before: Validation
    after: Validation
    rule: PromotionRule


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The figures for people are written."""


Event = ShardDone | PairsBuilt | Trained | Validated | Evaluated


def next_state(state: IterationState, event: Event) -> IterationState:
    """The state after `event`. Raises Conflict if the event does not belong to the state's stage."""
    match state.stage, event:
        case Stage.COLLECTING, ShardDone(shard=shard):
            return _collect(state, shard)
        case Stage.PAIRING, PairsBuilt(pairs=pairs, min_pairs=least):
            stage = Stage.TRAINING if pairs >= max(1, least) else Stage.EVALUATING
            return replace(state, stage=stage, pairs=pairs)
        case Stage.TRAINING, Trained(checkpoint=checkpoint):
            return replace(state, stage=Stage.VALIDATING, trained=checkpoint)
        case Stage.VALIDATING, Validated(before=before, after=after, rule=rule):
            promoted = rule.promotes(before, after)
            return replace(state, stage=Stage.EVALUATING, before=before, after=after, promoted=promoted)
        case Stage.EVALUATING, Evaluated():
            return replace(state, stage=Stage.DONE)
        case _:
            raise Conflict(
                f"iteration {state.index}: {type(event).__name__} does not belong to the stage {state.stage}"
            )


def _collect(state: IterationState, shard: int) -> IterationState:
    if not 0 <= shard < state.shards:
        raise InvalidInput.field("shard", shard, f"must be 0 to {state.shards - 1}")
    done = state.shards_done | {shard}
    return replace(state, shards_done=done, stage=Stage.PAIRING if len(done) == state.shards else state.stage)
