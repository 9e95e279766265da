"""Answers into claims by a language model behind any OpenAI-compatible endpoint."""

from rlaifv.adapters.llm.decomposer import LlmDecomposer
from rlaifv.adapters.llm.metrics import LlmMetrics
from rlaifv.adapters.llm.options import EndpointOptions, LlmOptions

__all__ = ["EndpointOptions", "LlmDecomposer", "LlmMetrics", "LlmOptions"]
