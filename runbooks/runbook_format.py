"""The form of a runbook's file."""

from __future__ import annotations
