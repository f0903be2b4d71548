"""The form of a checklist's definition."""

from __future__ import annotations
