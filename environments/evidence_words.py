"""Numbers as evidence writes them, and the gravest of several verdicts."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from environments.evidence import Verdict

MOST_LINES = 200
"""So many lines of detail are kept with a reading."""
_GRAVITY = (Verdict.FAIL, Verdict.NO_DATA, Verdict.WARN, Verdict.PASS)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The gravest; no data when there is none. What failed counts more than what nobody knows."""
    return min(verdicts, key=_GRAVITY.index, default=Verdict.NO_DATA)


def count(number: int, one: str, many: str = "") -> str:
    """``1 alert``, ``3 alerts``, ``1,204 entries``."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def percent(share: float | None) -> str:
    """A share (0.051) as ``5.1 %``; ``no data`` for None."""
    if share is None:
        return "no data"
    decimals = 2 if 0 < abs(share) < 0.01 else 1
    return f"{share * 100:.{decimals}f} %"


def milliseconds(value: float | None) -> str:
    """``0.62 ms``, ``41.3 ms``, ``412 ms``; ``no data`` for None."""
    if value is None:
        return "no data"
    return f"{value:.{2 if value < 1 else 1 if value < 100 else 0}f} ms"


def size(number: float | None) -> str:
    """Bytes as ``412 kB``, ``81.3 MB``, ``1.2 GB``; ``not known`` for None."""
    if number is None:
        return "not known"
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if number >= factor:
            return f"{number / factor:.1f} {unit}"
    return f"{number / 1e3:.0f} kB"


def lasting(time: timedelta | float) -> str:
    """``0.8 s``, ``42 s``, ``12 min``, ``3 h``, ``5 days``; seconds, or a difference of times."""
    seconds = time.total_seconds() if isinstance(time, timedelta) else time
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} days"


def moment(at: datetime) -> str:
    """``2026-11-23 14:02 UTC``."""
    return f"{at:%Y-%m-%d %H:%M} UTC"


def lines(found: Iterable[str], most: int = MOST_LINES) -> str:
    """Lines of detail, cut after ``most`` with a word about the rest."""
    listed = list(found)
    rest = len(listed) - most
    return "\n".join(listed if rest <= 0 else [*listed[:most], f"… and {count(rest, 'more line')}"])
