"""One decomposer for all tests of the grammar: loading it takes seconds."""

from __future__ import annotations

import pytest

from rlaifv.adapters.grammar import GrammarDecomposer


@pytest.fixture(scope="session")
def decomposer() -> GrammarDecomposer:
    return GrammarDecomposer()
