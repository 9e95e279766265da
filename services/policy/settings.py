"""Settings of the policy service."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from rlaifv.adapters.model_settings import ModelSettings


class PolicySettings(ModelSettings):
    """Environment variables RLAIFV_POLICY_*."""

    model_config = SettingsConfigDict(env_prefix="RLAIFV_POLICY_")

    backend: Literal["huggingface", "vllm", "fake"] = "huggingface"
    """What answers: transformers in this process, vLLM in a process of its own, or scripted answers without a model."""
    max_rows: int = Field(default=96, gt=0)
    """Most samples that are decoded together."""
    vllm_context_tokens: int = Field(default=0, ge=0)
    """vLLM: most tokens of prompt and answer together; 0 takes the model's own limit."""
    vllm_block_size: int = Field(default=0, ge=0)
    """vLLM: tokens in a block of the prefix cache, only whole blocks are shared; 0 is 32 on a CPU, vLLM's own choice on a GPU."""
    vllm_kv_cache_bytes: int = Field(default=0, ge=0)
    """vLLM: memory for keys and values, bytes; 0 is 4 GiB on a CPU, and on a GPU what its share leaves beside the weights."""
    vllm_gpu_memory_share: float = Field(default=0.9, gt=0, le=1)
    """vLLM: share of the GPU's memory that it may take, weights included."""
    vllm_gpus: int = Field(default=1, gt=0)
    """vLLM: GPUs that the model is spread over (tensor parallel)."""
    vllm_max_lora_rank: int = Field(default=64, ge=0, le=512)
    """vLLM: highest rank of LoRA adapters that LoadCheckpoint takes; 0 takes none and answers a little faster."""
