"""Reasons of the circuit breaker and what it measures, in words (specification, part 9). No Django here."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

TITLES = {
    "daily_loss": "Daily loss limit hit",
    "consecutive_losses": "Consecutive losses",
    "rapid_loss": "Rapid unexpected losses",
    "rejected_orders": "System malfunction: orders rejected",
    "manual": "Opened by hand",
}
MEASURES = {
    "daily_loss": "Loss of the day",
    "consecutive_losses": "Losses in a row",
    "rapid_loss": "Loss in a short time",
    "rejected_orders": "Rejected orders in a row",
}
_SHARES = frozenset({"daily_loss", "rapid_loss"})
"""Measured as a share of the account."""


def title(code: str) -> str:
    """The reason in words; an unknown code as it is."""
    return TITLES.get(code) or code.replace("_", " ").capitalize() or "No reason given"


def measure(code: str) -> str:
    """What is compared with the threshold."""
    return MEASURES.get(code, "Measured")


def number(text: str) -> Decimal | None:
    """A measured value as a number; None when it is none."""
    try:
        found = Decimal(text)
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def measured(code: str, text: str) -> str:
    """A measured value with its unit: ``3.12 %`` or ``5``; as it is when it is no number."""
    value = number(text)
    if value is None or code not in _SHARES:
        return text
    return f"{value * 100:.2f} %"


def bar(observed: str, threshold: str) -> tuple[float, float] | None:
    """Length of the bar and place of the mark, in percent of its whole width; None when there is nothing to draw."""
    value, limit = number(observed), number(threshold)
    if value is None or limit is None or value < 0 or limit <= 0:
        return None
    whole = max(value, limit) * Decimal("1.25")
    return float(value / whole * 100), float(limit / whole * 100)
