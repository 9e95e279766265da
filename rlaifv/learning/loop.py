"""The training loop: seeded order, micro-batches, clipping, AdamW, and a state from which a resume is bit-identical.

Nothing here depends on how far a process got before: the order of examples is a function of (seed, epoch), the dropout of
(seed, step, micro-batch), the learning rate of the step. So weights, AdamW's moments and the step number are the whole state,
and a run that was killed ends with the very bits of one that was not (same machine, same number of threads).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.nn.utils import clip_grad_norm_

from rlaifv.core.errors import BackendFailed, InvalidInput
from rlaifv.core.seeds import derive_seed
from rlaifv.learning.objectives import Objective
from rlaifv.learning.schedule import learning_rate

_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopSettings:
    """`examples` is the size of the data set. `batch_size` examples make one step, the last of an epoch may be smaller.

    `groups` has the number of each example's group (its prompt): examples of a group stay together. Empty: each is its own.
    """

    examples: int
    epochs: int
    batch_size: int
    micro_batch_size: int
    learning_rate: float
    warmup_ratio: float
    weight_decay: float
    max_grad_norm: float
    seed: int
    groups: tuple[int, ...] = field(default=(), repr=False)

    @property
    def steps_per_epoch(self) -> int:
        return -(-self.examples // self.batch_size)

    @property
    def total_steps(self) -> int:
        return self.steps_per_epoch * self.epochs


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """Means over the examples of one optimiser step; `step` counts finished steps (1 after the first)."""

    step: int
    examples: int
    loss: float
    grad_norm: float
    learning_rate: float
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopState:
    """All that a resume needs: finished steps, and tensors named `weight/…`, `exp_avg/…`, `exp_avg_sq/…`, `step/…` (on CPU).

    A parameter that no loss has reached yet has no moments.
    """

    step: int
    tensors: dict[str, Tensor]


def epoch_order(groups: Sequence[int], seed: int, epoch: int) -> tuple[int, ...]:
    """The order of example numbers in an epoch: a pure function of its arguments.

    `groups` has the group of each example. Groups come in random order, the examples of one next to each other, in random order.
    """
    members: dict[int, list[int]] = {}
    for example, group in enumerate(groups):
        members.setdefault(group, []).append(example)
    chance, order = random.Random(derive_seed(seed, "epoch", epoch)), list(members.values())
    chance.shuffle(order)
    for group_members in order:
        chance.shuffle(group_members)
    return tuple(chain.from_iterable(order))


class TrainingLoop:
    """Minimises an objective over `parameters` (name -> trainable parameter, fp32 master weights)."""

    def __init__(self, parameters: Mapping[str, Parameter], objective: Objective, settings: LoopSettings) -> None:
        if not parameters:
            raise InvalidInput("training: there is no trainable parameter")
        if settings.examples < 1:
            raise InvalidInput("training: there is no example to learn from")
        if settings.groups and len(settings.groups) != settings.examples:
            raise InvalidInput.field(
                "groups", len(settings.groups), f"must name the group of all {settings.examples} examples"
            )
        self.settings = settings
        self.step = 0
        self._epoch: tuple[int, tuple[int, ...]] = (-1, ())
        self._objective = objective
        self._parameters = dict(parameters)
        self._optimizer = torch.optim.AdamW(_groups(self._parameters, settings.weight_decay), lr=0.0, fused=True)

    @property
    def done(self) -> bool:
        return self.step >= self.settings.total_steps

    def run(self, should_stop: Callable[[], bool] = lambda: False) -> Iterator[StepReport]:
        """One report after each step until the end, or until `should_stop()` is true between two steps."""
        while not self.done and not should_stop():
            yield self.run_step()

    def run_step(self) -> StepReport:
        """One optimiser step. Raises BackendFailed where loss or gradient is not finite; weights are then unchanged."""
        examples = self._examples_of(self.step)
        self._optimizer.zero_grad(set_to_none=True)
        sums: dict[str, float] = {}
        size = self.settings.micro_batch_size
        for micro, start in enumerate(range(0, len(examples), size)):
            for name, value in self._backward(examples[start : start + size], len(examples), micro).items():
                sums[name] = sums.get(name, 0.0) + value
        norm = float(clip_grad_norm_(self._parameters.values(), self.settings.max_grad_norm))
        loss = sums.pop("loss") / len(examples)
        if not (norm < float("inf") and loss < float("inf")):
            raise BackendFailed(
                f"training step {self.step + 1}: loss {loss}, gradient norm {norm}; lower the learning rate"
            )
        rate = self._apply()
        return StepReport(
            step=self.step,
            examples=len(examples),
            loss=loss,
            grad_norm=norm,
            learning_rate=rate,
            metrics={name: value / len(examples) for name, value in sums.items()},
        )

    def state(self) -> LoopState:
        """A copy of the present state; safe to write while training goes on."""
        tensors: dict[str, Tensor] = {}
        for name, parameter in self._parameters.items():
            tensors[f"weight/{name}"] = parameter.detach().cpu().clone()
            moments = self._optimizer.state.get(parameter, {})
            for moment in _MOMENTS:
                if moment in moments:
                    tensors[f"{moment}/{name}"] = moments[moment].detach().cpu().clone()
        return LoopState(step=self.step, tensors=tensors)

    def load_state(self, state: LoopState) -> None:
        """Go on from `state`. Raises InvalidInput where it does not fit the parameters."""
        wanted = {f"weight/{name}" for name in self._parameters}
        found = {name for name in state.tensors if name.startswith("weight/")}
        if wanted != found:
            odd = sorted(wanted ^ found)[0]
            raise InvalidInput.field("state", odd, "training state and model have different trainable weights")
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(state.tensors[f"weight/{name}"])
                if memory := _adam_state(parameter, name, state):
                    self._optimizer.state[parameter] = memory
        self.step = state.step

    def _examples_of(self, step: int) -> tuple[int, ...]:
        epoch, position = divmod(step, self.settings.steps_per_epoch)
        if self._epoch[0] != epoch:
            groups = self.settings.groups or range(self.settings.examples)
            self._epoch = (epoch, epoch_order(groups, self.settings.seed, epoch))
        return self._epoch[1][position * self.settings.batch_size : (position + 1) * self.settings.batch_size]

    def _backward(self, examples: Sequence[int], step_examples: int, micro: int) -> dict[str, float]:
        """Adds the gradient of (sum of losses / step_examples), so that the step's loss is the mean over all its examples."""
        devices = sorted({p.device.index for p in self._parameters.values() if p.device.type == "cuda"})
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(derive_seed(self.settings.seed, "dropout", self.step, micro))
            output = self._objective(examples)
            torch.autograd.backward(output.loss.sum() / step_examples)
        named = {"loss": output.loss.detach(), **output.metrics}
        return {name: float(values.double().sum()) for name, values in named.items()}

    def _apply(self) -> float:
        settings = self.settings
        rate = learning_rate(self.step, settings.total_steps, settings.learning_rate, settings.warmup_ratio)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self.step += 1
        return rate


def _groups(parameters: Mapping[str, Parameter], weight_decay: float) -> list[dict[str, object]]:
    """Matrices decay, biases and norms do not."""
    matrices = [p for p in parameters.values() if p.ndim >= 2]
    vectors = [p for p in parameters.values() if p.ndim < 2]
    groups: list[dict[str, object]] = [{"params": matrices, "weight_decay": weight_decay}]
    return [*groups, {"params": vectors, "weight_decay": 0.0}] if vectors else groups


def _adam_state(parameter: Parameter, name: str, state: LoopState) -> dict[str, Tensor]:
    saved = {moment: state.tensors[key] for moment in _MOMENTS if (key := f"{moment}/{name}") in state.tensors}
    if saved and len(saved) != len(_MOMENTS):
        raise InvalidInput.field(
            "state", name, "the training state lacks a part of the optimiser's memory of this weight"
        )
    return {moment: tensor.to(parameter.device, copy=True) for moment, tensor in saved.items()}
