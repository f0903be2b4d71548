"""How times and numbers are written."""

from datetime import UTC, datetime, timedelta

import pytest

from opsconsole import formats

NOW = datetime(2026, 11, 23, 14, 2, 11, 204_900, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"), (0, "0.0 s"), (0.94, "0.9 s"), (9.96, "10 s"), (59.4, "59 s"), (59.7, "1m 00s"),
        (843, "14m 03s"), (3599.9, "1h 00m"), (7440, "2h 04m"), (266_400, "3d 02h"), (-4, "0.0 s"),
    ],
)  # fmt: skip
def test_duration(seconds, text):
    assert formats.duration(seconds).replace("\u00a0", " ") == text


def test_moments_are_utc_and_dated_when_not_today():
    assert formats.utc(NOW, now=NOW) == "14:02:11 UTC"
    assert formats.utc(NOW - timedelta(days=1), now=NOW) == "2026-11-22 14:02:11 UTC"
    assert formats.utc_full(NOW) == "2026-11-23 14:02:11.204 UTC"
    assert formats.utc(None) == "–"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1, "just now"), (-1, "just now"), (12, "12 s ago"), (200, "3 min ago"), (7300, "2 h ago"), (90_000, "1 day ago"),
     (432_100, "5 days ago"), (-125, "in 2 min")],
)  # fmt: skip
def test_ago(seconds, text):
    assert formats.ago(NOW - timedelta(seconds=seconds), now=NOW) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0512, "share", "5.1 %"), (0.001, "share", "0.10 %"), (0, "share", "0 %"), (1, "share", "100 %"),
        (0.9996, "share", "100 %"),
        (41.26, "ms", "41.3 ms"), (0.618, "ms", "0.62 ms"), (412.4, "ms", "412 ms"), (1420, "ms", "1.42 s"),
        (1_234_567, "orders", "1,234,567 orders"), (-3.25, "", "−3.25"), (None, "ms", "–"),
        (float("nan"), "share", "–"), ("", "ms", "–"), (12, "s", "12 s"),
    ],
)  # fmt: skip
def test_quantity(value, unit, text):
    assert formats.quantity(value, unit).replace("\u00a0", " ") == text


@pytest.mark.parametrize(
    ("value", "baseline", "unit", "text"),
    [
        (38.2, 31.0, "ms", "+7.2 ms, +23 %"), (0.051, 0.001, "share", "+5.0 points"),
        (0.57, 0.58, "share", "−1.0 points"),
        (10, 12.5, "ms", "−2.5 ms, −20 %"), (5, 0, "ms", "+5.0 ms"), (None, 3, "ms", ""), (3, None, "ms", ""),
    ],
)  # fmt: skip
def test_change(value, baseline, unit, text):
    assert formats.change(value, baseline, unit).replace("\u00a0", " ") == text


def test_a_small_negative_number_is_not_minus_zero():
    assert formats.number(-0.001, 1) == "0.0"
    assert formats.number(7.25, 1, sign=True) == "+7.2"
