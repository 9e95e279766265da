"""How an engine is started for a model folder, and for which folders it is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import structlog
from vllm import AsyncEngineArgs
from vllm.config.logging import LoggingConfig
from vllm.model_executor.models.interfaces import supports_lora
from vllm.model_executor.models.registry import ModelRegistry
from vllm.platforms import current_platform

from rlaifv.adapters.vllm.loader import LOAD_FORMAT
from rlaifv.adapters.vllm.options import VllmOptions
from rlaifv.core.errors import InvalidInput
from rlaifv.core.training import Precision

log = structlog.get_logger(__name__)

_DTYPES: Final = {Precision.FP32: "float32", Precision.BF16: "bfloat16"}


def engine_config(folder: Path, options: VllmOptions) -> Any:
    """vLLM's configuration for a folder.

    Raises InvalidInput for a family that this vLLM does not have or would compute wrongly, and for another device than its own.
    """
    config = _arguments(folder, options).create_engine_config()
    if options.on_cpu and config.model_config.is_mm_prefix_lm:
        # vLLM 0.32 starts such a model on a CPU and gives wrong numbers: its attention there is causal throughout.
        raise InvalidInput.field(
            "model", str(folder), "its attention over a picture goes both ways, which vLLM computes on a GPU only"
        )
    return config


def _arguments(folder: Path, options: VllmOptions) -> AsyncEngineArgs:
    if current_platform.is_cpu() != options.on_cpu:
        raise InvalidInput.field(
            "device", options.device, f"this build of vLLM computes on {current_platform.device_type}"
        )
    family = _model_class(folder)
    adapters = options.max_lora_rank > 0 and supports_lora(family)
    if options.max_lora_rank and not adapters:
        log.warning(
            "vLLM takes no LoRA adapters for this family: only whole checkpoints can be loaded", model=str(folder)
        )
    return AsyncEngineArgs(
        model=str(folder),
        model_impl="vllm",
        load_format=LOAD_FORMAT,
        # Checkpoints ship sampling defaults; here nothing happens that the caller did not ask for.
        generation_config="vllm",
        dtype=_DTYPES[options.precision],
        enforce_eager=options.on_cpu,
        max_model_len=options.context_tokens or None,
        max_num_seqs=options.max_rows,
        block_size=options.kv_block_size,
        kv_cache_memory_bytes=options.kv_bytes,
        gpu_memory_utilization=options.gpu_memory_share,
        tensor_parallel_size=options.gpus,
        enable_prefix_caching=True,
        limit_mm_per_prompt={"image": 1, "video": 0, "audio": 0},
        # Qwen-VL's pictures would be normalised by vLLM itself, and come out other than everywhere else in the last bits.
        mm_device_do_normalize=False,
        mm_processor_cache_gb=options.picture_cache_bytes / 2**30,
        enable_lora=adapters,
        # One that answers and one that comes. On a CPU vLLM 0.32 adds the last place's adapter to rows that have none (it takes
        # their index, -1, from the end): a place more, which stays empty, makes that add zero.
        max_loras=3 if options.on_cpu else 2,
        max_lora_rank=options.lora_rank,
        logging_config=LoggingConfig(formatter="json"),
    )


def _model_class(folder: Path) -> Any:
    """vLLM's class for the folder's family, imported here: where torchvision's operators had to be declared, the process in
    which vLLM would look at the class cannot import it."""
    names = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("architectures") or []
    known = [name for name in names if name in ModelRegistry.get_supported_archs()]
    if not known:
        raise InvalidInput.field("model", str(folder), f"vLLM does not know its architecture {names}")
    found = ModelRegistry.models[known[0]].load_model_cls()
    ModelRegistry.register_model(known[0], found)
    return found
