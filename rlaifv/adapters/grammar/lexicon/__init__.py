"""Closed word lists the grammar relies on: plain data, no logic."""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """The set of the words of `text`; a list of a hundred words reads better without a hundred quotes."""
    return frozenset(text.split())
