"""The feature cache: by weights and picture, bounded in bytes."""

from __future__ import annotations

import torch

from rlaifv.adapters.huggingface.vision import FeatureCache


def test_weights_are_part_of_the_key() -> None:
    cache: FeatureCache[str] = FeatureCache(1000)
    cache.put(("old", "image"), "features of old weights", torch.zeros(10))
    assert cache.get(("new", "image")) is None
    assert cache.get(("old", "image")) == "features of old weights"


def test_the_least_recently_used_goes_first() -> None:
    cache: FeatureCache[int] = FeatureCache(120)
    for number in range(3):
        cache.put(("w", str(number)), number, {"features": [torch.zeros(10)]})
    assert cache.bytes == 120
    cache.get(("w", "0"))
    cache.put(("w", "3"), 3, torch.zeros(10))
    assert [cache.get(("w", str(number))) for number in range(4)] == [0, None, 2, 3]
    assert (cache.bytes, len(cache)) == (120, 3)


def test_what_is_over_the_limit_alone_is_not_kept() -> None:
    cache: FeatureCache[int] = FeatureCache(100)
    cache.put(("w", "a"), 1, torch.zeros(10))
    cache.put(("w", "b"), 2, torch.zeros(100))
    assert (cache.get(("w", "a")), cache.get(("w", "b"))) == (1, None)
