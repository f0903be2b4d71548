"""Log lines for people: time in UTC, level, logger, message, and the request they belong to."""

from __future__ import annotations

import logging
import time


class Formatter(logging.Formatter):
    """``2026-01-21 14:02:11.204Z INFO deployments.engine  message``."""

    converter = time.gmtime  # type: ignore[assignment]
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s  %(message)s")
