"""RLAIF-V (arXiv 2405.17220): align a multimodal model with open-source feedback, continuously."""

__version__ = "0.1.0"
