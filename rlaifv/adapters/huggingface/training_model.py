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
from rlaifv.adapters.huggingface.packed_reading import PackReader
from rlaifv.adapters.huggingface.probe import prove_training
from rlaifv.adapters.huggingface.training_data import PairData
from rlaifv.adapters.huggingface.training_vision import TrainingVision, vision_tower
from rlaifv.adapters.huggingface.vision import token_kinds
from rlaifv.core.errors import InvalidInput
from rlaifv.core.training import Hyperparameters, Precision
from rlaifv.learning.logprobs import answer_logprobs, token_logprobs
from rlaifv.learning.objectives import PairLogprobs
from rlaifv.learning.packing import grow, packs
from rlaifv.learning.sequences import TokenSequence, collate

log = structlog.get_logger(__name__)

_LOGIT_BYTES = 1 << 26
"""Logits that exist at once; beyond them they are computed again in the backward pass."""

_REFERENCE_PAIRS = 1024
"""Pairs whose prompts are put together when nothing is kept for a backward pass."""


class TrainingModel:
    """Scores pairs with gradients; `parameters` are the weights that learn, by name.

    `padding_reason` says why sequences are padded, "" where they are packed.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        data: PairData,
        hyperparameters: Hyperparameters,
        feature_bytes: int = 1 << 30,
        pack_tokens: int = 8192,
        padding_reason: str | None = None,
    ) -> None:
        """`loaded` must be in fp32. At most `pack_tokens` tokens go through the model at once, if one answer is no longer.

        `padding_reason` is what `probe.prove_training` said of the model, None to ask it now. Raises InvalidInput for LoRA with a
        learning vision tower, and what the proof raises.
        """
        lora, train_vision = hyperparameters.lora, hyperparameters.train_vision
        if lora is not None and train_vision:
            raise InvalidInput.field(
                "training.train_vision", True, "does not go with LoRA: adapters are for the language model"
            )
        self.padding_reason = prove_training(loaded) if padding_reason is None else padding_reason
        self._reader = None if self.padding_reason else PackReader(loaded.model)
        self._pack_tokens = pack_tokens
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
        images = [pair.image for pair in encoded] * 2
        sums = (
            self._padded(sequences, images) if self._reader is None else self._packed(self._reader, sequences, images)
        )
        return PairLogprobs(chosen=sums[: len(pairs)], rejected=sums[len(pairs) :])

    def reference(self, batch_size: int) -> PairLogprobs:
        """Log-probabilities of all pairs under the present weights without dropout; call it before the first step.

        `batch_size` pairs are padded to one batch where the model's sequences cannot be packed.
        """
        self.eval()
        prompts = self._data.prompts
        order = sorted(range(len(prompts)), key=prompts.__getitem__)
        size = batch_size if self._reader is None else _REFERENCE_PAIRS
        chosen, rejected = torch.empty(len(order)), torch.empty(len(order))
        with torch.no_grad():
            for start in range(0, len(order), size):
                numbers = order[start : start + size]
                found = self.score(numbers)
                chosen[numbers], rejected[numbers] = found.chosen.cpu(), found.rejected.cpu()
        return PairLogprobs(chosen=chosen, rejected=rejected)

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

    def _packed(self, reader: PackReader, sequences: Sequence[TokenSequence], images: Sequence[str]) -> Tensor:
        """Summed log-probability of each answer, every prompt read once and equal answers to it once."""
        device = self._model.device
        forest = grow(sequences, images)
        sums = torch.zeros(len(forest), device=device)
        for pack in packs(forest, self._pack_tokens):
            with self._autocast():
                hidden = reader.hidden(pack, self._vision.arguments([str(tree.key) for tree in pack.trees]))
                predicting = hidden[pack.predictors.to(device)]
                flat = token_logprobs(predicting, pack.targets.to(device), self._head, self._chunk_tokens)
            sums = sums.index_add(0, pack.owners.to(device), flat)
        return sums[torch.tensor(forest.branches, device=device)]

    def _padded(self, sequences: Sequence[TokenSequence], images: Sequence[str]) -> Tensor:
        """Summed log-probability of each answer, each sequence read by itself in one padded batch."""
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
            return answer_logprobs(output.last_hidden_state, batch, self._head, self._chunk_tokens)

    @property
    def _chunk_tokens(self) -> int:
        vocabulary: int = self._model.get_output_embeddings().weight.shape[0]
        return max(1, _LOGIT_BYTES // (4 * vocabulary))

    def _head(self, hidden: Tensor) -> Tensor:
        return head_logits(self._model, self._model.get_output_embeddings(), hidden)

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self._model.device.type, dtype=torch.bfloat16, enabled=self._precision is Precision.BF16)
