"""When an occurrence of a checklist is expected."""

from __future__ import annotations
