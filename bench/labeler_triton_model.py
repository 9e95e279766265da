"""The model that tritonserver runs for the bench: a forward pass a batch, every row a whole prompt with its picture.

Imported inside Triton's stub process, in Triton's environment.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import triton_python_backend_utils as pb_utils
from torch import Tensor

from bench.labeler_published import PublishedSide, padded
from rlaifv.core.training import Precision


class TritonPythonModel:
    """What Triton calls: `initialize` once, then `execute` for every batch of requests."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the weights."""
        given = {name: one["string_value"] for name, one in json.loads(args["model_config"])["parameters"].items()}
        torch.set_num_threads(int(given["threads"]))
        self._side = PublishedSide(Path(given["model"]), Precision(given["precision"]))

    @torch.inference_mode()
    def execute(self, requests: list[Any]) -> list[Any]:
        """One response a request."""
        prompts = [self._side.inputs(_value(one, "image"), _value(one, "question").decode()) for one in requests]
        logits = self._side.model(
            **padded(prompts, self._side.processor.tokenizer.pad_token_id), logits_to_keep=1
        ).logits
        return [self._response(row) for row in logits[:, -1]]

    def _response(self, logits: Tensor) -> Any:
        verdict = self._side.verdict(logits)
        p = torch.tensor([[verdict.p_yes, verdict.p_no]], dtype=torch.float32).numpy()
        return pb_utils.InferenceResponse(output_tensors=[pb_utils.Tensor("p", p)])


def _value(request: Any, name: str) -> bytes:
    found: bytes = pb_utils.get_input_tensor_by_name(request, name).as_numpy().reshape(-1)[0]
    return found
