"""The words for the kinds of alerts."""

from __future__ import annotations

from alerts.channels import DELIVERY

KINDS = {
    "breach": "Limit exceeded",
    "mismatch": "Positions differ",
    "breaker": "Circuit breaker",
    "stop": "Emergency stop",
    "checklist": "Missed check",
    "database": "Backup",
    "contact": "No contact",
    "key": "API key",
    DELIVERY: "Alerts not sent",
}


def kind(name: str) -> str:
    """What people read for a kind; one that is not listed as itself."""
    return KINDS.get(name) or name.replace("-", " ").replace("_", " ").capitalize()
