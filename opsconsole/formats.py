"""How times, durations and numbers are written: UTC, tabular, with a real minus sign and a space before the unit."""

from __future__ import annotations

import math
from datetime import UTC, datetime

MINUS = "\N{MINUS SIGN}"
NONE = "\N{EN DASH}"
_SPACE = "\N{NO-BREAK SPACE}"


def _real(value: float | None) -> float | None:
    """The number; None for None, NaN, infinity, or a name that a template did not get (an empty text)."""
    if value is None or value == "":
        return None
    return float(value) if math.isfinite(float(value)) else None


def utc(at: datetime | None, *, now: datetime | None = None) -> str:
    """``14:02:11 UTC``; with the date when it is not today (UTC)."""
    if at is None:
        return NONE
    at = at.astimezone(UTC)
    same_day = at.date() == (now or datetime.now(UTC)).astimezone(UTC).date()
    return f"{at:%H:%M:%S} UTC" if same_day else f"{at:%Y-%m-%d %H:%M:%S} UTC"


def utc_full(at: datetime | None) -> str:
    """``2026-11-23 14:02:11.204 UTC``."""
    if at is None:
        return NONE
    at = at.astimezone(UTC)
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d} UTC"


def duration(seconds: float | None) -> str:
    """Seconds in words of at most two units: ``0.9 s``, ``42 s``, ``14m 03s``, ``2h 04m``, ``3d 02h``."""
    seconds = _real(seconds)
    if seconds is None:
        return NONE
    seconds = max(0.0, float(seconds))
    if seconds < 9.95:
        return f"{seconds:.1f}{_SPACE}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{_SPACE}s"
    if whole < 3600:
        return f"{whole // 60}m{_SPACE}{whole % 60:02d}s"
    if whole < 86_400:
        return f"{whole // 3600}h{_SPACE}{whole % 3600 // 60:02d}m"
    return f"{whole // 86_400}d{_SPACE}{whole % 86_400 // 3600:02d}h"


def ago(at: datetime | None, *, now: datetime | None = None) -> str:
    """How long ago, coarsely: ``just now``, ``12 s ago``, ``3 min ago``, ``5 days ago``; ``in 2 min`` ahead."""
    if at is None:
        return "never"
    seconds = ((now or datetime.now(UTC)) - at).total_seconds()
    if -3 < seconds < 3:
        return "just now"
    text = _coarse(abs(seconds))
    return f"{text} ago" if seconds > 0 else f"in {text}"


def _coarse(seconds: float) -> str:
    if seconds < 60:
        return f"{int(seconds)} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min"
    if seconds < 86_400:
        return f"{int(seconds // 3600)} h"
    days = int(seconds // 86_400)
    return f"{days} day" if days == 1 else f"{days} days"


def number(value: float | int | None, decimals: int | None = None, *, sign: bool = False) -> str:
    """A number with thousands separators and a real minus sign; None and NaN are an en dash.

    ``decimals`` None keeps whole numbers whole and gives others three significant digits.
    """
    value = _real(value)
    if value is None:
        return NONE
    value = float(value)
    if decimals is None:
        decimals = _decimals(abs(value))
    text = f"{abs(value):,.{decimals}f}"
    if float(text.replace(",", "")) == 0:
        return text
    return (MINUS if value < 0 else "+" if sign else "") + text


def _decimals(size: float) -> int:
    if size == 0 or size >= 100 or size == int(size):
        return 0
    return min(4, max(1, 2 - math.floor(math.log10(size))))


def percent(share: float | None, decimals: int | None = None, *, sign: bool = False) -> str:
    """A share (0.051) as ``5.1 %``: two decimals below 1 %, one below 100 %."""
    share = _real(share)
    if share is None:
        return NONE
    value = float(share) * 100
    if decimals is None:
        decimals = 2 if 0 < abs(value) < 1 else 1 if abs(value) < 99.95 and value != 0 else 0
    return f"{number(value, decimals, sign=sign)}{_SPACE}%"


def milliseconds(value: float | None) -> str:
    """Milliseconds as ``0.62 ms``, ``41.3 ms``, ``412 ms`` or ``1.42 s``."""
    value = _real(value)
    if value is None:
        return NONE
    if abs(value) >= 1000:
        return f"{number(value / 1000, 2)}{_SPACE}s"
    decimals = 2 if abs(value) < 1 else 1 if abs(value) < 100 else 0
    return f"{number(value, decimals)}{_SPACE}ms"


def quantity(value: float | None, unit: str) -> str:
    """A measured value with its unit: ``share`` as per cent, ``ms``, ``s`` as a duration, anything else as it is."""
    if unit in {"share", "%"}:
        return percent(value)
    if unit == "ms":
        return milliseconds(value)
    if unit == "s":
        return duration(value)
    text = number(value)
    return f"{text}{_SPACE}{unit}" if unit and text != NONE else text


def change(value: float | None, baseline: float | None, unit: str) -> str:
    """The difference to a baseline: ``+7.2 ms, +23 %``; for shares in percentage points (``+4.9 points``)."""
    value, baseline = _real(value), _real(baseline)
    if value is None or baseline is None:
        return ""
    difference = value - baseline
    if unit in {"share", "%"}:
        return f"{number(difference * 100, 2 if abs(difference) < 0.01 else 1, sign=True)}{_SPACE}points"
    text = quantity(abs(difference), unit)
    signed = f"{MINUS if difference < 0 else '+'}{text}" if difference else f"no change, {text}"
    if not baseline or not difference:
        return signed
    return f"{signed}, {number(difference / baseline * 100, 0, sign=True)}{_SPACE}%"
