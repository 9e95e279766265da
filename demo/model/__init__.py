"""The demo model: a LLaVA of a few million parameters, and how it is trained."""

from rlaifv.adapters.torchvision_operators import make_importable

make_importable()
