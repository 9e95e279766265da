"""How the policy's vLLM runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from rlaifv.adapters.images import ImageSources
from rlaifv.core.errors import InvalidInput
from rlaifv.core.training import Precision

_RANKS: Final = (1, 8, 16, 32, 64, 128, 256, 320, 512)
_CPU_KV_CACHE_BYTES: Final = 4 * 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class VllmOptions:
    """What the services' settings say; see services/policy/settings.py for the meaning of each.

    0 leaves `context_tokens`, `block_size` and `kv_cache_bytes` to the adapter; `max_lora_rank` 0 turns adapters off.
    """

    precision: Precision = Precision.FP32
    device: str = "cpu"
    max_rows: int = 96
    max_waiting: int = 1024
    context_tokens: int = 0
    block_size: int = 0
    kv_cache_bytes: int = 0
    gpu_memory_share: float = 0.9
    gpus: int = 1
    max_lora_rank: int = 64
    picture_cache_bytes: int = 256 * 1024 * 1024
    sources: ImageSources = field(default_factory=ImageSources)

    def __post_init__(self) -> None:
        if self.device not in ("cpu", "cuda", "cuda:0"):
            raise InvalidInput.field("device", self.device, "must be cpu or cuda; CUDA_VISIBLE_DEVICES chooses the GPU")

    @property
    def on_cpu(self) -> bool:
        return self.device == "cpu"

    @property
    def lora_rank(self) -> int:
        """The least rank that vLLM offers and that holds `max_lora_rank`."""
        return next(rank for rank in _RANKS if rank >= self.max_lora_rank)

    @property
    def kv_block_size(self) -> int | None:
        """Tokens in a block of the prefix cache; only whole blocks of a prompt are shared. None: as vLLM finds."""
        return self.block_size or (32 if self.on_cpu else None)

    @property
    def kv_bytes(self) -> int | None:
        """Memory for keys and values, bytes. None: what `gpu_memory_share` leaves beside the weights."""
        return self.kv_cache_bytes or (_CPU_KV_CACHE_BYTES if self.on_cpu else None)
