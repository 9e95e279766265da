"""Where CI is set, hypothesis tries the same examples every time: a landing is not decided by chance, a desk still explores."""

from __future__ import annotations

import os

from hypothesis import settings

from rlaifv.adapters.torchvision_operators import make_importable

# Some tests import transformers by themselves, before the adapters do.
make_importable()

settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("desk", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "desk")
