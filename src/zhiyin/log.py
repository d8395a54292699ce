"""Logging: every module logs to `zhiyin.<room>`; the library itself installs no handler, the command line does."""

from __future__ import annotations

import logging


def show(level: int = logging.INFO) -> None:
    """Send zhiyin's log lines to standard error, for scripts and notebooks that want to see them."""
    logger = logging.getLogger("zhiyin")
    if not any(isinstance(handler, logging.StreamHandler) for handler in logger.handlers):
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
    logger.setLevel(level)
