"""Log lines of the command line itself: warnings and worse, on stderr, for people. Services write their own files."""

from __future__ import annotations

import logging
import sys

import structlog


def log_warnings_to_stderr() -> None:
    """Called by commands that start services; stdout stays for results."""
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
