"""The run file: everything a run depends on, typed, every field documented. `reading.py` makes it from YAML.

Defaults are the paper's (RLAIF-V, sec. 4.1); a field that is not listed here is an error.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from rlaifv.core.candidates import Sampling
from rlaifv.core.iteration import PAPER_ITERATIONS, PromotionRule
from rlaifv.core.pairs import PairRule
from rlaifv.core.scoring import Aggregate
from rlaifv.core.training import Hyperparameters, Lora, Precision
from rlaifv.core.verdicts import TieRule, VerdictRule

RUN_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""A run's name is also a folder's: it starts with a letter or digit, so that it is never hidden or a flag."""

LOCAL_SERVICES = ("policy", "decomposer", "labeler", "trainer", "orchestrator", "triton")
"""What can be started for a run on one machine; "triton" is the server that a labeler with backend triton asks."""


class Section(BaseModel):
    """A part of the run file: frozen, no unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


class Prompts(Section):
    """Where prompts come from: Parquet files with the columns prompt_id, image struct{bytes, path} and prompt.

    Relative paths count from the run file's folder. The three sets must share neither prompt ids nor images.
    """

    train: Path
    """Prompts to learn from; every iteration takes new ones."""
    validation: Path
    """Prompts that decide on promotion."""
    evaluation: Path | None = None
    """Prompts for the figures that people read; also has the column `truth`, a scene as JSON. Absent: no evaluation."""


class SamplingSection(Section):
    """How candidates are sampled; all candidates of a prompt share these and differ by their seed."""

    temperature: float = Field(default=0.7, gt=0, le=10)
    """Over 0 (candidates must differ) to 10."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Share of probability that is kept; 1 is off."""
    max_new_tokens: int = Field(default=512, ge=1, le=65_536)
    """Most tokens of an answer; an answer that reaches it is not compared."""

    def sampling(self) -> Sampling:
        return Sampling(**self.model_dump())


class VerdictRuleSection(Section):
    """When a claim is accepted. The paper: if and only if p_yes > p_no."""

    threshold: float = Field(default=0.5, gt=0, lt=1)
    """Least share p_yes / (p_yes + p_no) that is accepted."""
    tie: TieRule = TieRule.REJECT
    """What a share of exactly the threshold means: reject or accept."""
    min_mass: float = Field(default=0.0, ge=0, le=1)
    """Least p_yes + p_no for a verdict to count; an answer with a claim under it gets no score."""

    def rule(self) -> VerdictRule:
        return VerdictRule(**self.model_dump())


class PairRuleSection(Section):
    """Which pairs are trained on."""

    min_score_difference: float = Field(default=1.0, gt=0)
    """Least difference of the two scores."""
    max_pairs_per_prompt: int = Field(default=2, ge=1)
    """Most pairs of one prompt; more are thinned by a seeded choice."""
    length_balance: bool = True
    """Drop pairs whose chosen answer is much shorter until mean lengths are closest."""

    def rule(self) -> PairRule:
        return PairRule(**self.model_dump())


class LoraSection(Section):
    """Low-rank adaptation instead of full training."""

    rank: int = Field(default=64, ge=1)
    """Rank of the update."""
    alpha: int = Field(default=16, ge=1)
    """The update is scaled by alpha / rank."""
    dropout: float = Field(default=0.05, ge=0, lt=1)
    """Dropout on the adapter's input."""


class TrainingSection(Section):
    """DPO's hyper-parameters. The run's seed, the iteration and this section decide the checkpoint."""

    beta: float = Field(default=0.1, gt=0)
    """DPO's temperature."""
    sft_weight: float = Field(default=0.0, ge=0)
    """Weight of minus the chosen answer's summed log-probability in the loss; keeps a small model from answering shorter."""
    learning_rate: float = Field(default=5e-7, gt=0)
    """Peak learning rate; the default is for full training of 7B parameters, smaller models want more."""
    warmup_ratio: float = Field(default=0.05, ge=0, le=1)
    """Share of the steps that warm up."""
    weight_decay: float = Field(default=0.01, ge=0)
    """AdamW's decay."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Gradients are clipped to this norm."""
    epochs: int = Field(default=4, ge=1)
    """Passes over the pairs of an iteration."""
    batch_size: int = Field(default=8, ge=1)
    """Pairs for each optimiser step."""
    micro_batch_size: int = Field(default=1, ge=1)
    """Pairs that go through the model at once; divides batch_size."""
    max_tokens: int = Field(default=2048, ge=2)
    """Pairs with a longer sequence (prompt, image and answer) are left out and counted."""
    precision: Precision = Precision.BF16
    """bf16 or fp32."""
    train_vision: bool = False
    """Whether the vision tower learns too."""
    lora: LoraSection | None = None
    """Absent: full training."""

    def hyperparameters(self, seed: int) -> Hyperparameters:
        """The trainer's record; `seed` orders the pairs and drives dropout. Raises InvalidInput for an uneven batch."""
        fields = self.model_dump(exclude={"lora"})
        return Hyperparameters(**fields, lora=Lora(**self.lora.model_dump()) if self.lora else None, seed=seed)


class PromotionSection(Section):
    """When a trained checkpoint takes the place of the policy: only the validation prompts decide."""

    min_improvement: float = Field(default=0.0, ge=0)
    """The mean validation score must rise by more than this."""
    min_words_ratio: float = Field(default=0.9, ge=0, le=1)
    """Answers must keep this share of their mean length: shorter answers are not alignment."""

    def rule(self) -> PromotionRule:
        return PromotionRule(**self.model_dump())


class EvaluationSection(Section):
    """How the figures for people are taken: greedy answers against exact truth. They steer nothing."""

    answers: int | None = Field(default=None, ge=1)
    """Most prompts to answer, the first of the file; absent: all."""
    max_new_tokens: int | None = Field(default=None, ge=1, le=65_536)
    """Most tokens of an answer; absent: as in `sampling`. Validation answers keep to it too."""
    seed: int | None = Field(default=None, ge=0)
    """Seed of the bootstrap intervals; absent: the run's."""
    yes_no_questions: bool = True
    """Whether the truth's yes/no questions are put to the policy."""


class Services(Section):
    """Addresses ("host:port") of the services; not part of the run's identity. Absent: the orchestrator's settings."""

    policy: str | None = None
    """The policy service."""
    decomposer: str | None = None
    """The decomposer service."""
    labeler: str | None = None
    """The labeler service."""
    trainer: str | None = None
    """The trainer service."""


class Local(Section):
    """What `rlaifv run` uses when it starts services by itself; not part of the run's identity."""

    labeler_model: Path | None = None
    """Model folder of the labeler; absent: the policy's start (self-feedback)."""
    threads: int | None = Field(default=None, ge=1)
    """CPU threads of each model service; absent: the library's choice."""
    settings: dict[str, dict[str, str]] = {}
    """Settings of services by their names, for example `{policy: {backend: vllm}, labeler: {backend: triton}}`."""

    @field_validator("settings", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        """YAML reads 8 and true as what they are; a service reads every setting as text."""
        if not isinstance(value, dict):
            return value
        return {
            service: {name: _text(one) for name, one in own.items()} if isinstance(own, dict) else own
            for service, own in value.items()
        }

    @field_validator("settings")
    @classmethod
    def _of_known_services(cls, value: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        for service in value:
            if service not in LOCAL_SERVICES:
                raise ValueError(f"{service!r} is no service; known are {', '.join(LOCAL_SERVICES)}")
        return value


def _text(value: Any) -> Any:
    """As YAML writes it: the settings of a service know true and false, not True and False."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


class RunFile(Section):
    """A run: which model, which prompts, which rules."""

    name: str = Field(pattern=RUN_NAME)
    """Names the run and its folder; letters, digits, '-', '_' and '.', 1 to 64 characters."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """All randomness of the run derives from it."""
    labeler: str = Field(default="self", min_length=1, max_length=200)
    """Who labels, for the record: "self", "stronger" or any text."""
    policy: str = Field(min_length=1)
    """The model at the start: a folder (relative paths count from the run file's folder) or an address with a scheme."""
    prompts: Prompts
    """Training, validation and evaluation prompts."""
    iterations: int = Field(default=PAPER_ITERATIONS, ge=1, le=1000)
    """Rounds of the loop."""
    prompts_per_iteration: int = Field(ge=1)
    """New training prompts for each iteration; the paper takes 4000."""
    candidates: int = Field(default=10, ge=2, le=256)
    """Answers sampled to each prompt."""
    sampling: SamplingSection = SamplingSection()
    """How they are sampled."""
    verdict_rule: VerdictRuleSection = VerdictRuleSection()
    """When a claim is accepted."""
    aggregate: Aggregate = Aggregate.COUNT
    """How rejected claims become a score: count or rate."""
    pair_rule: PairRuleSection = PairRuleSection()
    """Which pairs are trained on."""
    min_pairs: int = Field(default=1, ge=1)
    """An iteration with fewer pairs trains nothing and keeps its policy."""
    training: TrainingSection = TrainingSection()
    """DPO's hyper-parameters."""
    promotion: PromotionSection = PromotionSection()
    """When a checkpoint is promoted."""
    evaluation: EvaluationSection = EvaluationSection()
    """How the figures for people are taken."""
    max_staleness: int = Field(default=0, ge=0, le=1)
    """Promotions by which answers may be older than the policy they train: with 1, a round is collected while the one before
    trains, by the weights that one started from."""
    shard_prompts: int = Field(default=8, ge=1, le=1024)
    """Prompts of a shard, the unit of work that a crash repeats."""
    shards_in_flight: int = Field(default=2, ge=1, le=64)
    """Shards at work at once: the bound of all queues between the stages; not part of the run's identity."""
    services: Services = Services()
    """Addresses of the services."""
    local: Local = Local()
    """For services that the command line starts."""

    def content(self) -> dict[str, Any]:
        """What the run's results depend on, as plain JSON types: neither where services are nor how much is in flight."""
        content = self.model_dump(mode="json", exclude={"services", "local", "shards_in_flight"})
        if not self.max_staleness:
            del content["max_staleness"]  # runs from before it was there stay what they are
        return content

    @property
    def digest(self) -> str:
        """SHA-256 of `content`: two runs with one name are the same run if and only if it is equal."""
        return hashlib.sha256(json.dumps(self.content(), sort_keys=True).encode()).hexdigest()

    @property
    def greedy(self) -> Sampling:
        """Decoding of validation and evaluation answers."""
        return Sampling(temperature=0.0, max_new_tokens=self.evaluation.max_new_tokens or self.sampling.max_new_tokens)
