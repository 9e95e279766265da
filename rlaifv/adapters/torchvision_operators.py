"""Makes `import torchvision` work beside a CPU build of torch.

PyPI has torchvision for CUDA only. Its compiled operators do not load there, and its Python code stops at the missing names of
two of them. The image transforms, which are all that processors use, need none: so the names are declared, without a body.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from typing import Any

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


@functools.cache
def make_importable() -> None:
    """Call before the first import of transformers or vLLM. Does nothing where torchvision loads as it is, or is not there."""
    with contextlib.suppress(ImportError):
        try:
            import torchvision
        except RuntimeError as exc:
            if "torchvision::" not in str(exc):
                raise
            _declare()
            import torchvision  # noqa: F401 - now it does


_declared: Any = None
"""Kept for the life of the process: the operators vanish with it."""


def _declare() -> None:
    import torch

    global _declared
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    _declared = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for schema in _SCHEMAS:
        _declared.define(schema)
