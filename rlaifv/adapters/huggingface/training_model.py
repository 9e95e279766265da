"""The model being trained: which weights learn, how pairs run through it, and the folder it becomes.

Precision: master weights, gradients and AdamW's moments are fp32 always; with bf16, forward and backward run under autocast.
Log-softmax and loss are fp32. The reference is the frozen start: its log-probabilities are computed before the first step.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import structlog
import torch
from peft import PeftModel
from torch import Tensor
from torch.nn import Parameter

from rlaifv.adapters.huggingface.decoder import head_logits
from rlaifv.adapters.huggingface.export import save_model
from rlaifv.adapters.huggingface.loading import LoadedModel
from rlaifv.adapters.huggingface.lora import save_adapter, with_adapters
from rlaifv.adapters.huggingface.training_data import PairData
from rlaifv.adapters.huggingface.training_vision import TrainingVision, vision_tower
from rlaifv.adapters.huggingface.vision import token_kinds
from rlaifv.core.errors import InvalidInput
from rlaifv.core.training import Hyperparameters, Precision
from rlaifv.learning.logprobs import answer_logprobs
from rlaifv.learning.objectives import PairLogprobs
from rlaifv.learning.sequences import TokenSequence, collate

log = structlog.get_logger(__name__)


class TrainingModel:
    """Scores pairs with gradients; `parameters` are the weights that learn, by name."""

    def __init__(
        self, loaded: LoadedModel, data: PairData, hyperparameters: Hyperparameters, feature_bytes: int = 1 << 30
    ) -> None:
        """`loaded` must be in fp32. Raises InvalidInput for LoRA with a learning vision tower."""
        lora, train_vision = hyperparameters.lora, hyperparameters.train_vision
        if lora is not None and train_vision:
            raise InvalidInput.field(
                "training.train_vision", True, "does not go with LoRA: adapters are for the language model"
            )
        self._loaded = loaded
        self._data = data
        self._precision = hyperparameters.precision
        self._model = loaded.model
        self._tower = vision_tower(loaded.model)
        self._peft: PeftModel | None = None
        if lora is None:
            self._model.requires_grad_(True)
            if self._tower is not None:
                self._tower.requires_grad_(train_vision)
        else:
            self._peft = with_adapters(loaded.model, lora, hyperparameters.seed)
        self._vision = TrainingVision(loaded.model, loaded.digest, data.prepare, max_bytes=feature_bytes)
        self._train_vision = train_vision
        self.parameters: dict[str, Parameter] = {
            name: parameter for name, parameter in self._model.named_parameters() if parameter.requires_grad
        }

    def train(self) -> None:
        """Dropout on, except in a frozen vision tower."""
        self._model.train()
        if self._tower is not None and not self._train_vision:
            self._tower.eval()

    def eval(self) -> None:
        """Dropout off."""
        self._model.eval()

    def score(self, pairs: Sequence[int]) -> PairLogprobs:
        """Summed answer log-probabilities of the pairs with these numbers, fp32, with gradients unless disabled around."""
        encoded = [self._data.pairs[number] for number in pairs]
        sequences = [pair.chosen for pair in encoded] + [pair.rejected for pair in encoded]
        sums = self._logprobs(sequences, [pair.image for pair in encoded] * 2)
        return PairLogprobs(chosen=sums[: len(pairs)], rejected=sums[len(pairs) :])

    def reference(self, batch_size: int) -> PairLogprobs:
        """Log-probabilities of all pairs under the present weights without dropout; call it before the first step."""
        self.eval()
        parts = []
        with torch.no_grad():
            for start in range(0, len(self._data.pairs), batch_size):
                parts.append(self.score(range(start, min(start + batch_size, len(self._data.pairs)))))
        return PairLogprobs(
            chosen=torch.cat([part.chosen for part in parts]).cpu(),
            rejected=torch.cat([part.rejected for part in parts]).cpu(),
        )

    @property
    def stored_bytes(self) -> int:
        """About what `save` writes."""
        weights: int = sum(parameter.numel() for parameter in self._model.parameters())
        return weights * int(self._loaded.stored_dtype.itemsize)

    def save_adapter(self, target: Path) -> None:
        """Write the LoRA adapters as a folder of their own; nothing where there are none, or their base is no whole model."""
        if self._peft is None:
            return
        if self._loaded.adapter is not None:
            log.info("adapter_not_written", reason="the start is an adapter itself", start=str(self._loaded.adapter))
            return
        save_adapter(self._peft, self._loaded.folder, target)

    def save(self, target: Path) -> None:
        """Write the whole model as a folder (adapters merged), in the number format of the start; ends the training."""
        model = self._model
        if self._peft is not None:
            self._peft.eval()
            model = self._peft.merge_and_unload()
        save_model(model, self._loaded.folder, target, self._loaded.stored_dtype)

    def _logprobs(self, sequences: Sequence[TokenSequence], images: Sequence[str]) -> Tensor:
        device = self._model.device
        batch = collate(sequences, pad=self._loaded.end_of_sequence)
        with self._autocast():
            output = self._model.base_model(
                input_ids=batch.ids.to(device),
                attention_mask=batch.attention.to(device),
                use_cache=False,
                **token_kinds(self._model, batch.ids.to(device)),
                **self._vision.arguments(images),
            )
            return answer_logprobs(output.last_hidden_state, batch, self._head)

    def _head(self, hidden: Tensor) -> Tensor:
        return head_logits(self._model, self._model.get_output_embeddings(), hidden)

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self._model.device.type, dtype=torch.bfloat16, enabled=self._precision is Precision.BF16)
