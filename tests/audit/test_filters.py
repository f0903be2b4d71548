"""How a query string is read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from audit import filters
from audit.filters import Filter, moment, read

NOW = datetime(2026, 1, 21, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-01-21", datetime(2026, 1, 21, tzinfo=UTC)),
        ("2026-01-21 14:02", datetime(2026, 1, 21, 14, 2, tzinfo=UTC)),
        ("2026-01-21T14:02:11.204Z", datetime(2026, 1, 21, 14, 2, 11, 204000, tzinfo=UTC)),
        ("2026-01-21T14:02:11+02:00", datetime(2026, 1, 21, 12, 2, 11, tzinfo=UTC)),
        ("30min", NOW - timedelta(minutes=30)),
        ("2h", NOW - timedelta(hours=2)),
        ("7 d", NOW - timedelta(days=7)),
    ],
)
def test_a_moment(text, at):
    assert moment(text, now=NOW) == at


def test_a_day_ends_at_its_end():
    assert moment("2026-01-21", end=True) == datetime(2026, 1, 22, tzinfo=UTC)
    assert moment("2026-01-21 14:02", end=True) == datetime(2026, 1, 21, 14, 2, tzinfo=UTC)


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "2026", "99999d x", "0000-01-01", "\x00", "9999-12-31"])
def test_what_is_no_moment_says_how_to_write_it(text):
    with pytest.raises(ValueError, match="Write 2026-01-21"):
        moment(text, end=True)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("q", "ab"),
        ("q", "..."),
        ("q", "x" * 101),
        ("q", "a\x00bc"),
        ("who", "a\x00b"),
        ("object", "Deployment 42"),
        ("object", "deployment:\x00"),
        ("outcome", "perhaps"),
        ("since", "soon"),
    ],
)
def test_what_cannot_be_used_is_named_and_left_out(name, text):
    wanted, problems = read({name: text, "environment": "staging"})
    assert set(problems) == {name} and wanted == Filter(environment="staging")


def test_an_empty_time_range_is_named():
    wanted, problems = read({"since": "2026-01-22", "until": "2026-01-21 10:00"})
    assert "until" in problems and wanted.until is None
    assert read({"since": "2026-01-21", "until": "2026-01-21"})[1] == {}


def test_a_filter_is_described_for_the_record_of_an_export():
    wanted, _ = read({"since": "2026-01-21", "who": "ada", "object": "deployment:4", "page": "2"})
    assert wanted.described() == {"who": "ada", "object": "deployment:4", "since": "2026-01-21T00:00:00+00:00"}
    assert (wanted.object_type, wanted.object_id) == ("deployment", "4")
    assert set(filters.NAMES) == set(Filter.__dataclass_fields__)
