"""One vLLM engine: prompts in, samples out; weights exchanged, adapters added and removed. Knows nothing of queues."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog
from vllm import AsyncLLMEngine, SamplingParams, TokensPrompt
from vllm.exceptions import VLLMClientError
from vllm.lora.request import LoRARequest
from vllm.renderers.inputs.preprocess import parse_model_prompt
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

from rlaifv.adapters.huggingface.decoding import Sampled
from rlaifv.adapters.vllm.engine_process import begins_engine_processes
from rlaifv.adapters.vllm.metrics import Meter
from rlaifv.adapters.vllm.options import VllmOptions
from rlaifv.adapters.vllm.prompts import ReadPrompt
from rlaifv.adapters.vllm.starting import engine_config
from rlaifv.core.candidates import FinishReason, Sampling
from rlaifv.core.errors import BackendFailed, InvalidInput, Unavailable

log = structlog.get_logger(__name__)

_LEAST_TEMPERATURE: Final = 0.01
_CACHE_MISSES: Final = 3
_DEAD: Final = "vLLM's engine has died: the service must be restarted"
_START_ERRORS: Final = (
    ValueError, RuntimeError, OSError, NotImplementedError, KeyError, AttributeError, AssertionError, ImportError
)  # fmt: skip
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
        adapters = llm.vllm_config.lora_config
        self.max_lora_rank = int(adapters.max_lora_rank) if adapters else 0

    @classmethod
    def start(cls, folder: Path, options: VllmOptions) -> Engine:
        """Start the engine's process and load a model folder; blocking. `environment.prepare` must have run.

        Raises InvalidInput where vLLM cannot serve it.
        """
        meter = Meter()
        try:
            with begins_engine_processes():
                llm = AsyncLLMEngine.from_vllm_config(engine_config(folder, options), stat_loggers=[meter])
        except _START_ERRORS as exc:
            raise InvalidInput.field("model", str(folder), f"vLLM cannot serve it: {_reason(exc)}") from exc
        return cls(llm, meter)

    @property
    def dead(self) -> bool:
        """Whether the engine is gone for good."""
        return bool(self._llm.errored)

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
        self._refuse_long(len(request.prompt.ids), "without its image")
        given = await rendered(self._llm.renderer, self._llm.model_config, request.prompt, request.base)
        self._refuse_long(len(given["prompt_token_ids"]), "with its image")
        parameters = self._parameters(request)
        name = str(next(self._numbers))
        outputs = [output async for output in self._llm.generate(given, parameters, name, lora_request=request.adapter)]
        (answer,) = outputs[-1].outputs
        if answer.finish_reason == "error":
            return None
        if {span.version for span in answer.weight_versions} != {self._stamp}:
            raise BackendFailed("the weights changed while an answer was drawn")
        return _sampled(answer)

    def _refuse_long(self, size: int, what: str) -> None:
        limit = self._llm.model_config.max_model_len
        if size >= limit:
            raise InvalidInput(f"prompt has {size} tokens {what}, the model takes under {limit}: shorten it")

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


async def rendered(renderer: Any, model_config: Any, prompt: ReadPrompt, base: str) -> Any:
    """A prompt after the model's own processor, as vLLM's engine takes it, for the weights `base`.

    Raises InvalidInput for a picture that the processor refuses.
    """
    # All caches are cleared when weights change; that their keys name the weights too makes a stale hit impossible.
    tokens = TokensPrompt(
        prompt_token_ids=prompt.ids,
        multi_modal_data={"image": prompt.picture},
        multi_modal_uuids={"image": [f"{prompt.sha256}-{base}"]},
        cache_salt=base,
    )
    try:
        (given,) = await renderer.render_cmpl_async([parse_model_prompt(model_config, tokens)])
    except (ValueError, RuntimeError, IndexError, VLLMClientError) as exc:
        raise InvalidInput(f"image: the model's processor does not take it ({_reason(exc)})") from exc
    return given


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
