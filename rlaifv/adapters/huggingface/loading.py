"""Loading a model folder: offline, verified, with nothing of its generation_config but the end-of-sequence tokens.

Checkpoints ship sampling defaults (top_p 0.6, repetition penalties …) that `generate` would apply unasked; here decoding is
ours, and what the caller did not ask for does not happen (reference, sec. 1.1).
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoModelForImageTextToText, AutoProcessor, GenerationConfig, PreTrainedModel
from transformers.utils import is_torchvision_available

from rlaifv.adapters.huggingface.chat import ChatFormat
from rlaifv.adapters.huggingface.checkpoint import adapter_base, is_adapter, model_digest, verified_folder
from rlaifv.adapters.huggingface.lora import merge_adapter
from rlaifv.adapters.huggingface.quiet import quiet
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.errors import DataLoss, InvalidInput
from rlaifv.core.training import Precision

_LOAD_ERRORS = (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, RuntimeError, SafetensorError)
_DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
_loading = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A model ready to use, and the digest of the folder it came from.

    `folder` holds the configuration, the processor and the weights; `adapter` the LoRA adapter that was merged into them, if the
    checkpoint is one. `end_tokens` are the ids that end an answer, first the one that the chat template writes after it;
    `stored_dtype` is the number format of the folder's weights.
    """

    model: PreTrainedModel
    chat: ChatFormat
    folder: Path
    digest: str
    end_tokens: tuple[int, ...]
    stored_dtype: torch.dtype = torch.float32
    adapter: Path | None = None

    @property
    def end_of_sequence(self) -> int:
        """The id that is put after an answer in training."""
        return self.end_tokens[0]


def load_model(checkpoint: Checkpoint, precision: Precision = Precision.FP32, device: str = "cpu") -> LoadedModel:
    """The model of a checkpoint in evaluation mode; blocking, seconds to minutes.

    Raises NotFound (no folder), Conflict (other digest), DataLoss (damaged weights) or InvalidInput (no such model: unknown
    architecture, missing or unexpected weights, wrong shapes, NaN weights, no chat template, no end-of-sequence token).
    """
    named = verified_folder(checkpoint)
    adapter = named if is_adapter(named) else None
    folder = named if adapter is None else adapter_base(named)
    dtype = torch.bfloat16 if precision is Precision.BF16 else torch.float32
    # from_pretrained sets process-wide state while it builds a model; two at once mix up their number formats.
    with _loading, quiet():
        processor = load_processor(folder)
        model = _load_weights(folder, dtype)
        if adapter is not None:
            model = merge_adapter(model, adapter)
    _refuse_bad_numbers(model, named)
    chat = ChatFormat(processor)
    end_tokens = _end_tokens(model, chat)
    model.generation_config = GenerationConfig(eos_token_id=list(end_tokens))
    return LoadedModel(
        model=model.to(device).eval(),
        chat=chat,
        folder=folder,
        digest=checkpoint.digest or model_digest(named),
        end_tokens=end_tokens,
        stored_dtype=_stored_dtype(folder),
        adapter=adapter,
    )


def load_processor(folder: Path) -> Any:
    """The processor that vLLM takes too: transformers' choice where torchvision is there.

    Its image processors in PIL give other pixels than those in torchvision, and it takes them silently where torchvision is
    missing: then two services would see two different pictures.
    """
    if not is_torchvision_available():
        raise InvalidInput("model: torchvision is not installed; without it pictures get other pixels than elsewhere")
    try:
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
    except _LOAD_ERRORS as exc:
        raise InvalidInput.field(
            "checkpoint.uri", str(folder), f"its processor does not load: {_first_line(exc)}"
        ) from exc
    if getattr(processor, "tokenizer", None) is None or getattr(processor, "image_processor", None) is None:
        raise InvalidInput.field("checkpoint.uri", str(folder), "its processor lacks a tokenizer or an image processor")
    return processor


def _load_weights(folder: Path, dtype: torch.dtype) -> PreTrainedModel:
    try:
        model, report = AutoModelForImageTextToText.from_pretrained(
            folder, local_files_only=True, dtype=dtype, output_loading_info=True
        )
    except _LOAD_ERRORS as exc:
        raise InvalidInput.field("checkpoint.uri", str(folder), f"its weights do not load: {_first_line(exc)}") from exc
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if report.get(kind):
            first = sorted(str(key) for key in report[kind])[0]
            raise InvalidInput.field("checkpoint.uri", str(folder), f"{len(report[kind])} {kind}, first {first}")
    return model


def _refuse_bad_numbers(model: PreTrainedModel, folder: Path) -> None:
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise DataLoss(f"model folder {folder}: weight {name} holds NaN or infinity; take another checkpoint")


def _stored_dtype(folder: Path) -> torch.dtype:
    """Of the largest weight: norms may be kept in another format."""
    sizes: dict[torch.dtype, int] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(str(path), framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - not a dict
                part = file.get_slice(name)
                dtype = _DTYPES.get(part.get_dtype(), torch.float32)
                sizes[dtype] = sizes.get(dtype, 0) + math.prod(part.get_shape())
    return max(sizes, key=lambda dtype: sizes[dtype])


def _end_tokens(model: PreTrainedModel, chat: ChatFormat) -> tuple[int, ...]:
    configured = getattr(model.generation_config, "eos_token_id", None)
    stated = configured if isinstance(configured, list) else [configured]
    found = [chat.tokenizer.eos_token_id, *stated, model.config.get_text_config().eos_token_id]
    flat = [token for entry in found for token in (entry if isinstance(entry, list) else [entry])]
    tokens = list(dict.fromkeys(int(token) for token in flat if token is not None))
    if not tokens:
        raise InvalidInput("model: neither tokenizer nor configuration names an end-of-sequence token")
    # Gemma ends a turn with <end_of_turn>, its tokenizer's end of sequence is another: an answer ends as the template says.
    return tuple(sorted(tokens, key=lambda token: token != chat.answer_end))


def _first_line(exc: BaseException) -> str:
    return (str(exc).strip().splitlines() or [type(exc).__name__])[0][:200]
