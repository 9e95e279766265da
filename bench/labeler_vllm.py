"""vLLM as a labeler: one request a claim, prefix caching on, all requests given at once; run in vLLM's own environment.

Configured as this project's policy has it on a CPU: eager, blocks of 32 tokens, 4 GiB for keys and values, at most 96
sequences and 2,048 tokens a step. Pictures go through its processor cache. A request asks for one token and for the
log-probabilities of yes and no, which vLLM takes from a softmax over the whole vocabulary. CPU time is that of the process.
"""

from __future__ import annotations

import io
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.labeler_process import Asked, ChildProcess, Probabilities, plain, serve
from bench.labeler_sides import Answer
from bench.scenes import AskedPicture
from rlaifv.cli.environments import interpreter
from rlaifv.core.training import Precision


class VllmSide:
    """Asks an engine in a process of its own."""

    def __init__(self, folder: Path, precision: Precision, threads: int) -> None:
        """Raises NotFound where vLLM's environment is missing, BackendFailed where it does not start."""
        arguments = [str(folder), precision.value, str(threads)]
        self._child = ChildProcess(interpreter("vllm"), "bench.labeler_vllm", arguments, threads)

    def ask(self, pictures: Sequence[AskedPicture]) -> list[Answer]:
        return [Answer.of(*pair) for pair in self._child.send(plain(pictures))]

    def cpu_seconds(self) -> float:
        return self._child.cpu_seconds()

    def close(self) -> None:
        self._child.close()


class _Engine:
    """In the child."""

    def __init__(self, folder: Path, precision: Precision, threads: int) -> None:
        from rlaifv.adapters.vllm import environment

        environment.prepare(on_cpu=True, threads=threads)
        from transformers import AutoProcessor
        from vllm import LLMEngine, SamplingParams
        from vllm.model_executor.models.registry import ModelRegistry

        from bench.labeler_published import answer_tokens
        from rlaifv.adapters.vllm.options import VllmOptions
        from rlaifv.adapters.vllm.starting import engine_config

        for name in json.loads((folder / "config.json").read_text())["architectures"]:
            # In this process: where vLLM would look at the class, torchvision cannot be imported beside a CPU torch.
            ModelRegistry.register_model(name, ModelRegistry.models[name].load_model_cls())
        self._engine: Any = LLMEngine.from_vllm_config(
            engine_config(folder, VllmOptions(precision=precision, max_lora_rank=0))
        )
        self._processor: Any = AutoProcessor.from_pretrained(folder, local_files_only=True)
        self._yes, self._no = answer_tokens(self._processor.tokenizer)
        self._parameters = SamplingParams(
            max_tokens=1, temperature=0.0, logprob_token_ids=[*self._yes, *self._no], detokenize=False
        )

    def answer(self, asked: Asked) -> Probabilities:
        """(p_yes, p_no) of every question, from one request each."""
        from PIL import Image as PilImage

        requests = 0
        for data, questions in asked:
            shown = PilImage.open(io.BytesIO(data)).convert("RGB")
            for question in questions:
                prompt = {"prompt_token_ids": self._ids(question), "multi_modal_data": {"image": shown}}
                self._engine.add_request(str(requests), prompt, self._parameters)
                requests += 1
        done: dict[int, tuple[float, float]] = {}
        while self._engine.has_unfinished_requests():
            for output in self._engine.step():
                if output.finished:
                    done[int(output.request_id)] = self._probabilities(output.outputs[0].logprobs[0])
        return [done[number] for number in range(requests)]

    def _ids(self, question: str) -> list[int]:
        from bench.labeler_published import user_turn

        text = self._processor.apply_chat_template([user_turn(question)], add_generation_prompt=True, tokenize=False)
        tokenizer = self._processor.tokenizer
        begins = bool(tokenizer.bos_token) and text.startswith(tokenizer.bos_token)
        return list(tokenizer(text, add_special_tokens=not begins)["input_ids"])

    def _probabilities(self, logprobs: dict[int, Any]) -> tuple[float, float]:
        yes, no = (sum(math.exp(logprobs[token].logprob) for token in ids) for ids in (self._yes, self._no))
        return yes, no


def main() -> None:
    """In vLLM's environment: ADDRESS FOLDER PRECISION THREADS."""
    address, folder, precision, threads = sys.argv[1:]
    serve(address, _Engine(Path(folder), Precision(precision), int(threads)).answer)


if __name__ == "__main__":
    main()
