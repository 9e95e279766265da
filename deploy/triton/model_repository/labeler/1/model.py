"""The labeler in Triton's Python backend. Its environment needs `rlaifv[hf]` with numpy < 2; settings: RLAIFV_TRITON_*."""

from rlaifv.adapters.triton.backend import TritonPythonModel

__all__ = ["TritonPythonModel"]
