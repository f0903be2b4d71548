"""Live topics of this app."""

from __future__ import annotations

from runbooks import checklist_live, runbook_live  # noqa: F401
