"""The loop that a careful engineer writes, as a side of bench.trainer: no work is shared, none is wasted on the head.

Both answers are whole padded sequences of one batch, each with its picture; the head sees answer tokens only; the reference
is a second model, run at every step. Pixels are computed once a picture, before the first step.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, logsigmoid
from torch.nn.utils import clip_grad_norm_
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForImageTextToText, PreTrainedModel

from bench.trainer_job import Job, Step
from bench.trainer_texts import encoded_pairs


class PlainLoop:
    """`stored`: the reference's log-probabilities are computed once, by `start`."""

    def __init__(self, job: Job, stored: bool = False) -> None:
        self._job = job
        self._stored = stored
        self._policy = start_model(job)
        self._reference = start_model(job).requires_grad_(False)
        self._kept: Tensor | None = None
        self._done = 0
        self._learned = {name: p for name, p in self._policy.named_parameters() if p.requires_grad}
        groups: list[dict[str, Any]] = [
            {"params": [p for p in self._learned.values() if p.ndim >= 2]},
            {"params": [p for p in self._learned.values() if p.ndim < 2], "weight_decay": 0.0},
        ]
        self._optimizer = torch.optim.AdamW(groups, weight_decay=job.hyperparameters.weight_decay, fused=True)

    def start(self) -> None:
        """Tokens, pixels and, where it is stored, the reference."""
        self._pairs = encoded_pairs(self._job.model, self._job.pairs)
        if self._stored:
            size = self._job.hyperparameters.micro_batch_size
            parts = [range(first, min(first + size, len(self._pairs))) for first in range(0, len(self._pairs), size)]
            self._kept = torch.cat([self._reference_sums(part) for part in parts], dim=1)

    def reference_logprobs(self) -> Tensor:
        """The stored ones, shape (2, pairs), chosen first."""
        assert self._kept is not None
        return self._kept

    def step(self) -> Step:
        """See Side."""
        hyper = self._job.hyperparameters
        batch = self._job.batches[self._done]
        self._optimizer.zero_grad()
        total = 0.0
        for part in self._job.micro_batches(self._done):
            reference = self._reference_sums(part) if self._kept is None else self._kept[:, list(part)]
            loss = dpo(self._sums(self._policy, part), reference, hyper.beta).sum() / len(batch)
            torch.autograd.backward(loss)
            total += float(loss.detach())
        norm = float(clip_grad_norm_(self._learned.values(), hyper.max_grad_norm))
        for group in self._optimizer.param_groups:
            group["lr"] = self._job.rate(self._done)
        self._optimizer.step()
        self._done += 1
        return Step(loss=total, grad_norm=norm)

    def weights(self) -> dict[str, Tensor]:
        """See Side."""
        return {name: parameter.detach().clone() for name, parameter in self._learned.items()}

    def _reference_sums(self, pairs: Sequence[int]) -> Tensor:
        with torch.no_grad():
            return self._sums(self._reference, pairs)

    def _sums(self, model: PreTrainedModel, numbers: Sequence[int]) -> Tensor:
        """Log-probabilities of chosen and rejected answers, shape (2, pairs)."""
        pairs = [self._pairs[number] for number in numbers]
        prompts = [pair.prompt for pair in pairs] * 2
        answers = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
        rows = [torch.tensor(prompt + answer) for prompt, answer in zip(prompts, answers, strict=True)]
        with self._autocast():
            hidden = model.base_model(
                input_ids=pad_sequence(rows, batch_first=True),
                attention_mask=pad_sequence([torch.ones_like(row) for row in rows], batch_first=True),
                use_cache=False,
                **{name: torch.cat([pair.picture[name] for pair in pairs] * 2) for name in pairs[0].picture},
            ).last_hidden_state
            read = [one[len(p) - 1 : len(p) + len(a) - 1] for one, p, a in zip(hidden, prompts, answers, strict=True)]
            logits = model.get_output_embeddings()(torch.cat(read))
        targets = torch.tensor([token for answer in answers for token in answer])
        flat = log_softmax(logits.float(), dim=-1).gather(-1, targets[:, None])[:, 0]
        return torch.stack([part.sum() for part in torch.split(flat, [len(a) for a in answers])]).view(2, len(pairs))

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=self._job.bf16)


def dpo(policy: Tensor, reference: Tensor, beta: float) -> Tensor:
    """DPO's loss pair by pair, of log-probabilities of shape (2, pairs), chosen first."""
    (chosen, rejected), (reference_chosen, reference_rejected) = policy, reference
    return -logsigmoid(beta * ((chosen - reference_chosen) - (rejected - reference_rejected)))


def start_model(job: Job) -> PreTrainedModel:
    """The model in fp32, with a vision tower that does not learn."""
    model = AutoModelForImageTextToText.from_pretrained(job.model, dtype=torch.float32, local_files_only=True)
    model.get_encoder(modality="image").requires_grad_(False)
    return model
