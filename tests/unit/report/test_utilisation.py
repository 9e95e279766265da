"""Shares of time at work, worked out by hand."""

from __future__ import annotations

import pytest

from rlaifv.adapters.report.plots_utilisation import busy_shares
from rlaifv.adapters.report.run_files import StageSpan


def test_spans_that_overlap_count_once_in_every_part() -> None:
    times = [(0.0, 3.0), (1.0, 2.0), (2.5, 5.0), (9.0, 10.0)]
    spans = [StageSpan(iteration=1, stage="score", start_s=start, end_s=end) for start, end in times]
    assert busy_shares(spans, "score", 10.0, 5) == pytest.approx([1.0, 1.0, 0.5, 0.0, 0.5])
    assert busy_shares(spans, "score", 10.0, 1) == pytest.approx([0.6])
    assert busy_shares(spans, "train", 10.0, 2) == [0.0, 0.0]
