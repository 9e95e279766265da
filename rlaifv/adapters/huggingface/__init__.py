"""Policy, labeler and trainer on transformers: any model that loads with AutoModelForImageTextToText and AutoProcessor."""

from rlaifv.adapters.torchvision_operators import make_importable

make_importable()
