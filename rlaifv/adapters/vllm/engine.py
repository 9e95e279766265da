"""One vLLM engine: prompts in, samples out; weights exchanged, adapters added and removed. Knows nothing of queues."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog
from vllm import AsyncEngineArgs, AsyncLLMEngine, SamplingParams, TokensPrompt
from vllm.config.logging import LoggingConfig
from vllm.exceptions import VLLMClientError
from vllm.lora.request import LoRARequest
from vllm.model_executor.models.registry import ModelRegistry
from vllm.platforms import current_platform
from vllm.renderers.inputs.preprocess import parse_model_prompt
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

from rlaifv.adapters.huggingface.decoding import Sampled
from rlaifv.adapters.vllm.engine_process import begins_engine_processes
from rlaifv.adapters.vllm.loader import LOAD_FORMAT
from rlaifv.adapters.vllm.metrics import Meter
from rlaifv.adapters.vllm.options import VllmOptions
from rlaifv.adapters.vllm.prompts import ReadPrompt
from rlaifv.core.candidates import FinishReason, Sampling
from rlaifv.core.errors import BackendFailed, InvalidInput, Unavailable
from rlaifv.core.training import Precision

log = structlog.get_logger(__name__)

_DTYPES: Final = {Precision.FP32: "float32", Precision.BF16: "bfloat16"}
_LEAST_TEMPERATURE: Final = 0.01
_CACHE_MISSES: Final = 3
_DEAD: Final = "vLLM's engine has died: the service must be restarted"
_SHUTDOWN_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One sample to draw from the weights `base`, which must be those that are loaded, with `adapter` on them if there is one."""

    prompt: ReadPrompt
    sampling: Sampling
    seed: int
    end_tokens: tuple[int, ...]
    base: str
    adapter: LoRARequest | None = None


class Engine:
    """An engine that runs. Make it with `start`; then use it in one event loop."""

    def __init__(self, llm: Any, meter: Meter) -> None:
        self._llm = llm
        self.meter = meter
        self._numbers = itertools.count()
        self._adapters = itertools.count(1)
        self._stamp = "default"
        self.context_tokens = int(llm.model_config.max_model_len)

    @classmethod
    def start(cls, folder: Path, options: VllmOptions) -> Engine:
        """Start the engine's process and load a model folder; blocking. `environment.prepare` must have run.

        Raises InvalidInput where vLLM cannot serve it.
        """
        if (current_platform.is_cpu()) != options.on_cpu:
            raise InvalidInput.field(
                "device", options.device, f"this build of vLLM computes on {current_platform.device_type}"
            )
        _look_at_model(folder)
        meter = Meter()
        try:
            with begins_engine_processes():
                llm = AsyncLLMEngine.from_engine_args(_arguments(folder, options), stat_loggers=[meter])
        except (
            ValueError,
            RuntimeError,
            OSError,
            NotImplementedError,
            KeyError,
            AttributeError,
            AssertionError,
        ) as exc:
            raise InvalidInput.field("model", str(folder), f"vLLM cannot serve it: {_reason(exc)}") from exc
        return cls(llm, meter)

    @property
    def dead(self) -> bool:
        """Whether the engine is gone for good."""
        return bool(self._llm.errored)

    @property
    def unfinished(self) -> int:
        """Samples that were asked for and are not drawn to their end."""
        return int(self._llm.get_num_unfinished_requests())

    async def sample(self, request: Request) -> Sampled:
        """Draw one answer. Cancelling it frees its place in the batch.

        Raises InvalidInput for a prompt that fills the context, Unavailable where the engine is dead, BackendFailed otherwise.
        """
        try:
            for _ in range(_CACHE_MISSES):
                drawn = await self._draw(request)
                if drawn is not None:
                    return drawn
        except EngineDeadError as exc:
            raise Unavailable(_DEAD) from exc
        except (VLLMClientError, EngineGenerateError, ValueError) as exc:
            raise BackendFailed(f"vLLM failed to answer: {_reason(exc)}") from exc
        raise BackendFailed(f"vLLM lost the picture {request.prompt.sha256} {_CACHE_MISSES} times")

    async def _draw(self, request: Request) -> Sampled | None:
        """None where the engine's process had dropped the picture from its cache, which the next try fills again."""
        given = await self._render(request.prompt, request.base)
        size = len(given["prompt_token_ids"])
        if size >= self.context_tokens:
            raise InvalidInput(
                f"prompt has {size} tokens with its image, the model takes under {self.context_tokens}: shorten it"
            )
        parameters = self._parameters(request)
        name = str(next(self._numbers))
        outputs = [output async for output in self._llm.generate(given, parameters, name, lora_request=request.adapter)]
        (answer,) = outputs[-1].outputs
        if answer.finish_reason == "error":
            return None
        if {span.version for span in answer.weight_versions} != {self._stamp}:
            raise BackendFailed("the weights changed while an answer was drawn")
        return _sampled(answer)

    async def _render(self, prompt: ReadPrompt, base: str) -> Any:
        # All caches are cleared when weights change; that their keys name the weights too makes a stale hit impossible.
        tokens = TokensPrompt(
            prompt_token_ids=prompt.ids,
            multi_modal_data={"image": prompt.picture},
            multi_modal_uuids={"image": [f"{prompt.sha256}-{base}"]},
            cache_salt=base,
        )
        try:
            (given,) = await self._llm.renderer.render_cmpl_async([parse_model_prompt(self._llm.model_config, tokens)])
        except (ValueError, RuntimeError, IndexError, VLLMClientError) as exc:
            raise InvalidInput(f"image: the model's processor does not take it ({_reason(exc)})") from exc
        return given

    def _parameters(self, request: Request) -> SamplingParams:
        sampling = request.sampling
        if 0 < sampling.temperature < _LEAST_TEMPERATURE:
            raise InvalidInput.field(
                "sampling.temperature", sampling.temperature, f"vLLM takes 0 (greedy) or at least {_LEAST_TEMPERATURE}"
            )
        return SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_new_tokens,
            seed=request.seed,
            stop_token_ids=list(request.end_tokens),
            logprobs=0,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Nothing is computed meanwhile and all caches are empty afterwards; entered once what was asked is answered."""
        await self._call(self._llm.pause_generation(mode="wait", clear_cache=True))
        try:
            yield
        finally:
            await self._call(self._llm.resume_generation())

    async def exchange(self, folder: Path, version: str) -> None:
        """Load the weights of a folder in place of those that are loaded; call it while `paused`.

        Raises BackendFailed where that fails, and then the loaded weights are neither the old nor the new ones.
        """
        await self._call(self._llm.collective_rpc("reload_weights", kwargs={"weights_path": str(folder)}))
        await self._call(self._llm.update_weight_version(version))
        self._stamp = version

    async def add_adapter(self, folder: str, version: str) -> LoRARequest:
        """Load a LoRA adapter beside the weights. Raises InvalidInput where vLLM does not take it."""
        # vLLM serves the old adapter if a name or a number comes twice.
        number = next(self._adapters)
        adapter = LoRARequest(lora_name=f"{version}-{number}", lora_int_id=number, lora_path=folder)
        try:
            await self._call(self._llm.add_lora(adapter))
        except BackendFailed as exc:
            raise InvalidInput.field(
                "checkpoint.uri", str(folder), f"vLLM does not take the adapter: {exc.message}"
            ) from exc
        return adapter

    async def remove_adapter(self, adapter: LoRARequest) -> None:
        """Free an adapter that nobody asks for any more."""
        await self._call(self._llm.remove_lora(adapter.lora_int_id))

    async def _call(self, call: Awaitable[Any]) -> Any:
        try:
            return await call
        except EngineDeadError as exc:
            raise Unavailable(_DEAD) from exc
        except Exception as exc:  # what fails in the engine's process arrives as a bare Exception with its text
            raise BackendFailed(f"vLLM: {_reason(exc)}") from exc

    async def close(self) -> None:
        """End the engine's process."""
        if self._llm.output_handler is not None:
            # Otherwise it reports the end as the engine's death.
            self._llm.output_handler.cancel()
        await asyncio.to_thread(self._llm.shutdown, _SHUTDOWN_S)


def _look_at_model(folder: Path) -> None:
    """Refuse a family that vLLM does not have. On a CPU, import its class here: the process in which vLLM would look at it
    cannot import torchvision."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    known = ModelRegistry.get_supported_archs()
    names = config.get("architectures") or []
    for name in names:
        if name in known and current_platform.is_cpu():
            ModelRegistry.register_model(name, ModelRegistry.models[name].load_model_cls())
    if not any(name in known for name in names):
        raise InvalidInput.field("model", str(folder), f"vLLM does not know its architecture {names}")


def _arguments(folder: Path, options: VllmOptions) -> AsyncEngineArgs:
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
        mm_processor_cache_gb=options.picture_cache_bytes / 2**30,
        enable_lora=options.max_lora_rank > 0,
        max_loras=2,
        max_lora_rank=options.lora_rank,
        logging_config=LoggingConfig(formatter="json"),
    )


def _sampled(answer: Any) -> Sampled:
    ids = tuple(int(token) for token in answer.token_ids)
    logprobs = tuple(float(step[token].logprob) for step, token in zip(answer.logprobs, ids, strict=True))
    if not all(math.isfinite(logprob) for logprob in logprobs):
        raise BackendFailed("the model gave a log-probability that is no number: its weights are bad")
    return Sampled(
        ids=ids,
        logprobs=logprobs,
        finish=FinishReason.STOP if answer.finish_reason == "stop" else FinishReason.LENGTH,
    )


def _reason(exc: BaseException) -> str:
    """One line of an exception of vLLM's; pydantic's first line only counts the errors."""
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith("Value error, ")]
    return (telling or lines or [type(exc).__name__])[0].removeprefix("Value error, ")[:300]
