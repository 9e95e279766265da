"""What a training job is told and what it tells back."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.errors import InvalidInput, RlaifvError


class Precision(StrEnum):
    """Number format of weights and activations; log-softmax and loss are always fp32."""

    FP32 = "fp32"
    BF16 = "bf16"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora:
    """Low-rank adaptation (peft) of all linear layers of the language model; the paper's code: rank 64, alpha 16."""

    rank: int = 64
    alpha: int = 16
    dropout: float = 0.05

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise InvalidInput.field("lora.rank", self.rank, "must be 1 or more")
        if not 0.0 <= self.dropout < 1.0:
            raise InvalidInput.field("lora.dropout", self.dropout, "must be at least 0 and under 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hyperparameters:
    """DPO as in the paper: beta 0.1, cosine with 5 % warm-up, weight decay 0.01, 8 pairs a step, 4 epochs.

    `sft_weight` adds minus that much times the chosen answer's summed log-probability to the loss, 0 as published; it keeps a
    small model's answers from growing shorter. `micro_batch_size` pairs go through the model at once; `batch_size` (a
    multiple of it) pairs make one optimiser step. `learning_rate` 5e-7 is for full training of a 7B model; smaller models
    want more. `train_vision` lets the vision tower learn too (the published code keeps it frozen by accident of no_grad; we
    do by default on purpose).
    """

    beta: float = 0.1
    sft_weight: float = 0.0
    learning_rate: float = 5e-7
    warmup_ratio: float = 0.05
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    epochs: int = 4
    batch_size: int = 8
    micro_batch_size: int = 1
    max_tokens: int = 2048
    precision: Precision = Precision.BF16
    train_vision: bool = False
    lora: Lora | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        checks: list[tuple[str, float, bool, str]] = [
            ("beta", self.beta, self.beta > 0, "must be over 0"),
            ("sft_weight", self.sft_weight, self.sft_weight >= 0, "must be 0 or more"),
            ("learning_rate", self.learning_rate, self.learning_rate > 0, "must be over 0"),
            ("warmup_ratio", self.warmup_ratio, 0 <= self.warmup_ratio <= 1, "must be between 0 and 1"),
            ("weight_decay", self.weight_decay, self.weight_decay >= 0, "must be 0 or more"),
            ("max_grad_norm", self.max_grad_norm, self.max_grad_norm > 0, "must be over 0"),
            ("epochs", self.epochs, self.epochs >= 1, "must be 1 or more"),
            ("batch_size", self.batch_size, self.batch_size >= 1, "must be 1 or more"),
            ("max_tokens", self.max_tokens, self.max_tokens >= 2, "must be 2 or more"),
        ]
        for name, value, fits, remedy in checks:
            if not fits:
                raise InvalidInput.field(f"training.{name}", value, remedy)
        if self.micro_batch_size < 1 or self.batch_size % self.micro_batch_size:
            raise InvalidInput.field(
                "training.micro_batch_size", self.micro_batch_size, f"must divide batch_size ({self.batch_size})"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob:
    """One DPO training: `policy` is where it starts and its reference. The same `id` never trains twice at once.

    `pairs_uri` is a Parquet file with the preference columns; `pairs_digest` its SHA-256, checked before use, or "".
    `output_uri` is the folder for the checkpoint and everything needed to resume.
    """

    id: str
    policy: Checkpoint
    pairs_uri: str
    output_uri: str
    pairs_digest: str = ""
    hyperparameters: Hyperparameters = field(default_factory=Hyperparameters)


class TrainingPhase(StrEnum):
    """Where a training job is."""

    PREPARING = "preparing"
    TRAINING = "training"
    SAVING = "saving"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingProgress:
    """A report of a running job. Metrics are means over the pairs of the last optimiser step.

    `reward_margin` is beta * ((lp_chosen - ref_chosen) - (lp_rejected - ref_rejected)); `accuracy` is the share of pairs
    where it is over 0. `chosen_logprob` and `rejected_logprob` are summed over the answer, natural log.
    `error` says why the job failed, where the phase is FAILED; `message` is the same for people.
    """

    phase: TrainingPhase
    step: int = 0
    total_steps: int = 0
    loss: float = 0.0
    reward_margin: float = 0.0
    accuracy: float = 0.0
    chosen_logprob: float = 0.0
    rejected_logprob: float = 0.0
    grad_norm: float = 0.0
    learning_rate: float = 0.0
    pairs_per_s: float = 0.0
    checkpoint: Checkpoint | None = None
    message: str = ""
    dropped: dict[str, int] = field(default_factory=dict)
    resumed_from_step: int = 0
    error: RlaifvError | None = field(default=None, compare=False)

    @property
    def over(self) -> bool:
        return self.phase in (TrainingPhase.DONE, TrainingPhase.FAILED, TrainingPhase.CANCELLED)
