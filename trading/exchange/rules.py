"""Hyperliquid's rules for numbers. Pure.

Source: hyperliquid.gitbook.io, "Tick and lot size": a price has at most five significant figures and at most
6 - szDecimals decimals, a whole number is always allowed; a size has at most szDecimals decimals.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_UP, Decimal

SIGNIFICANT = 5
PERP_DECIMALS = 6


def worst_price(price: Decimal, *, buys: bool, slippage: Decimal, size_decimals: int) -> Decimal:
    """The limit of an order that shall be filled at once: ``slippage`` (a fraction) worse than ``price`` (USD, > 0).

    Rounded away from the price, so that the limit is never tighter than asked for, and never below one tick.
    """
    wanted = price * (1 + slippage if buys else 1 - slippage)
    places = min(max(PERP_DECIMALS - size_decimals, 0), max(SIGNIFICANT - 1 - wanted.adjusted(), 0))
    step = Decimal(1).scaleb(-places)
    return max(wanted.quantize(step, ROUND_CEILING if buys else ROUND_FLOOR), step)


def whole_size(size: Decimal, size_decimals: int) -> Decimal:
    """The size (coins, either sign) as an order's: without sign, and never smaller than what is held."""
    return abs(size).quantize(Decimal(1).scaleb(-size_decimals), ROUND_UP)


def wire(number: Decimal) -> str:
    """A number as it is signed and sent: no exponent, no trailing zeros."""
    text = format(number, "f")
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"
