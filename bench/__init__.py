"""Measurements side by side, each a command that prints both sides, whether they found the same, and the ratio."""

from rlaifv.adapters.torchvision_operators import make_importable

make_importable()
