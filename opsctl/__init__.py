"""opsctl: the command line of OpsConsole, a client of its REST API. It imports nothing of the console."""

from __future__ import annotations

VERSION = "0.1.0"
