"""Log lines for people: time in UTC, level, logger, message, and the request they belong to."""

from __future__ import annotations

import logging
import time

from audit.middleware import current_request_id


class Formatter(logging.Formatter):
    """``2026-01-21 14:02:11.204Z INFO deployments.engine  message  [request id]``."""

    converter = time.gmtime  # type: ignore[assignment]
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s  %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The line, ended by the id of the request that it was written for, if any."""
        request_id = current_request_id.get()
        return super().format(record) + (f"  [{request_id}]" if request_id else "")
