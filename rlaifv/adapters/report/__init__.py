"""The report of one or several runs: one self-contained HTML file, its plots as PNG files beside it."""

from rlaifv.adapters.report.page import Report, write_report

__all__ = ["Report", "write_report"]
