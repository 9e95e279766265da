"""The seam to Triton's Python backend: tensors in, tensors out, our errors as errors of single requests.

Imported by deploy/triton/model_repository/labeler/1/model.py, inside Triton's stub process only.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import structlog
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

from rlaifv.adapters.triton import protocol
from rlaifv.adapters.triton.model import BatchLabeler, PictureAnswers, PictureQuestions
from rlaifv.adapters.triton.settings import TritonSettings
from rlaifv.core.errors import Cancelled, InvalidInput, RlaifvError, TooLarge
from rlaifv.rpc.logs import configure_logging

log = structlog.get_logger(__name__)


class TritonPythonModel:
    """What Triton calls: `initialize` once, then `execute` for every batch of requests."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the weights; whatever is wrong with them ends the start of the server."""
        parameters = json.loads(args["model_config"]).get("parameters", {})
        settings = TritonSettings(**{name: value["string_value"] for name, value in parameters.items()})
        configure_logging(settings.log_level, "triton")
        self._labeler = BatchLabeler.open(settings)
        log.info("model_loaded", folder=settings.model, version=self._labeler.version, device=settings.device)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One response for each request, in their order."""
        read = [_read(request) for request in requests]
        answers = iter(self._labeler.answer([one for one in read if isinstance(one, PictureQuestions)]))
        outcomes = [next(answers) if isinstance(one, PictureQuestions) else one for one in read]
        return [self._response(*pair) for pair in zip(requests, outcomes, strict=True)]

    def _response(self, request: Any, outcome: PictureAnswers | RlaifvError) -> Any:
        if isinstance(outcome, RlaifvError):
            return _failed(outcome)
        try:
            pixels = self._pixels(request) if protocol.PIXELS in request.requested_output_names() else []
        except RlaifvError as error:
            return _failed(error)
        p_yes, p_no = (np.array([values], dtype=np.float32) for values in (outcome.p_yes, outcome.p_no))
        outputs = {protocol.P_YES: p_yes, protocol.P_NO: p_no, protocol.MASS: p_yes + p_no}
        tensors = [pb_utils.Tensor(name, values) for name, values in outputs.items()]
        version = pb_utils.Tensor(protocol.VERSION, _text(self._labeler.version))
        return pb_utils.InferenceResponse(output_tensors=[*tensors, version, *pixels])

    def _pixels(self, request: Any) -> list[Any]:
        return [pb_utils.Tensor(protocol.PIXELS, _text(self._labeler.pixels_sha256(_image(request))))]


def _read(request: Any) -> PictureQuestions | RlaifvError:
    """What the request asks, or why it is not answered; nobody waits for one that was cancelled."""
    if request.is_cancelled():
        return Cancelled("the caller went away")
    asked: NDArray[np.object_] = pb_utils.get_input_tensor_by_name(request, protocol.QUESTIONS).as_numpy()
    try:
        return PictureQuestions(image=_image(request), questions=tuple(raw.decode() for raw in asked.reshape(-1)))
    except UnicodeDecodeError as error:
        return InvalidInput.field("questions", error.object, "is no valid UTF-8")


def _image(request: Any) -> bytes:
    encoded: NDArray[np.uint8] = pb_utils.get_input_tensor_by_name(request, protocol.IMAGE).as_numpy()
    return encoded.tobytes()


def _text(value: str) -> NDArray[np.object_]:
    return np.array([[value.encode()]], dtype=np.object_)


def _failed(error: RlaifvError) -> Any:
    # Triton has fewer codes than we have errors; the text names the kind.
    codes = pb_utils.TritonError
    code = {Cancelled: codes.CANCELLED, InvalidInput: codes.INVALID_ARG, TooLarge: codes.INVALID_ARG}.get(
        type(error), codes.INTERNAL
    )
    return pb_utils.InferenceResponse(
        output_tensors=[], error=pb_utils.TritonError(protocol.error_to_text(error), code)
    )
