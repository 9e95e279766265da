"""What the model inside Triton and its clients agree on: the names of its tensors, and how an error of ours travels.

A request asks about one picture; its batch dimension is 1 and Triton puts several together. Shapes, without that dimension:

| tensor        | type  | shape | meaning                                                                              |
|---------------|-------|-------|--------------------------------------------------------------------------------------|
| image         | UINT8 | [-1]  | the encoded picture; empty only beside no questions                                  |
| questions     | BYTES | [-1]  | UTF-8; none at all makes the request a probe, which is answered with the version      |
| p_yes, p_no   | FP32  | [-1]  | one for each question, in their order: softmax of the first token over the vocabulary |
| mass          | FP32  | [-1]  | p_yes + p_no                                                                         |
| version       | BYTES | [1]   | digest of the weights that answered, 64 hex digits                                   |
| pixels_sha256 | BYTES | [1]   | of the picture after the model's own processor; computed only where it is requested  |
"""

from __future__ import annotations

from typing import Final

from rlaifv.core.errors import RlaifvError
from rlaifv.rpc.errors import STATUS, to_status

IMAGE: Final = "image"
QUESTIONS: Final = "questions"
P_YES: Final = "p_yes"
P_NO: Final = "p_no"
MASS: Final = "mass"
VERSION: Final = "version"
PIXELS: Final = "pixels_sha256"
ANSWER: Final = (P_YES, P_NO, VERSION)
"""The outputs that a verdict needs."""

_KINDS: Final = {kind.__name__: kind for kind in STATUS}


def error_to_text(error: BaseException) -> str:
    """The kind and the message of one of our errors; of any other exception no more than that it happened."""
    code, message = to_status(error)
    kind = next(kind for kind, status in STATUS.items() if status is code)
    return f"{kind.__name__}: {message}"


def error_from_text(text: str) -> RlaifvError | None:
    """The error that `error_to_text` wrote; None for a text that is Triton's own."""
    kind, separator, message = text.partition(": ")
    return _KINDS[kind](message) if separator and kind in _KINDS else None
