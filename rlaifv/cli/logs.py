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
        # Looked up anew each time: whoever captures stderr gets the lines, and a closed one is never written to.
        logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
