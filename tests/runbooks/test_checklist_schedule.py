"""When a checklist is expected: no gap, none twice, also where the clock changes or a day is left out."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runbooks.checklist_format import WEEKDAYS, Schedule
from runbooks.checklist_schedule import Calendar, midnight, occurrences

ZONES = ("UTC", "Europe/London", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu")
ALWAYS = Calendar()


def plan(**fields) -> Schedule:
    return Schedule.model_validate(fields)


def found(schedule, zone, first, last, calendar=ALWAYS):
    place = ZoneInfo(zone)
    return list(occurrences(schedule, place, calendar, midnight(first, place), midnight(last, place)))


clocks = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.sampled_from((0, 15, 30, 59)))
calendars = st.builds(
    Calendar,
    st.frozensets(st.integers(0, 6), min_size=1),
    st.frozensets(st.dates(date(2011, 12, 1), date(2012, 4, 30)), max_size=20),
)
days = st.dates(date(2011, 12, 1), date(2012, 4, 1))


@settings(max_examples=120, deadline=None)
@given(zone=st.sampled_from(ZONES), at=clocks, calendar=calendars, first=days, count=st.integers(1, 60))
@example(zone="Pacific/Apia", at="08:00", calendar=ALWAYS, first=date(2011, 12, 28), count=6)
@example(zone="America/New_York", at="02:30", calendar=ALWAYS, first=date(2012, 3, 9), count=5)
def test_a_daily_list_is_expected_once_on_each_of_its_days(zone, at, calendar, first, count):
    last = first + timedelta(days=count)
    made = found(plan(every="day", at=at, due=4), zone, first, last, calendar)
    there = [first + timedelta(days=number) for number in range(count)]
    left_out = date(2011, 12, 30) if zone == "Pacific/Apia" else None
    assert [one.period for one in made] == [str(day) for day in there if calendar.has(day) and day != left_out]
    for one in made:
        assert one.opens_at < one.closes_at and one.opens_at <= one.due_at <= one.closes_at
        assert str(one.opens_at.astimezone(ZoneInfo(zone)).date()) == one.period
    for one, following in pairwise(made):
        assert one.closes_at == following.opens_at, "no gap, and no two at once"


@settings(max_examples=120, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    at=clocks,
    calendar=calendars,
    wanted=st.one_of(
        st.tuples(st.just("week"), st.sampled_from(WEEKDAYS)),
        st.tuples(st.just("month"), st.one_of(st.integers(1, 31), st.just("last"))),
    ),
    first=days,
    count=st.integers(1, 100),
)
def test_every_week_and_month_has_one_also_with_holidays_only(zone, at, calendar, wanted, first, count):
    every, day = wanted
    last = first + timedelta(days=count)
    made = found(plan(every=every, at=at, day=day), zone, first, last, calendar)
    names = [one.period for one in made]
    place = ZoneInfo(zone)
    for one in made:
        local = one.opens_at.astimezone(place).date()
        year, week, _ = local.isocalendar()
        assert one.period == (f"{year}-W{week:02}" if every == "week" else f"{local:%Y-%m}")
        assert midnight(first, place) <= one.opens_at < midnight(last, place)
    assert len(set(names)) == len(names)
    whole = found(plan(every=every, at=at, day=day), zone, date(2011, 11, 1), date(2012, 9, 1), calendar)
    for one, following in pairwise(whole):
        assert one.closes_at == following.opens_at and following.opens_at - one.opens_at < timedelta(days=62)
    inside = [one.period for one in whole if midnight(first, place) <= one.opens_at < midnight(last, place)]
    assert names == inside, "what is asked for in parts is what is asked for at once"


@settings(max_examples=60, deadline=None)
@given(zone=st.sampled_from(ZONES), at=clocks, cut=st.integers(0, 30 * 24 * 60), first=days)
def test_looking_in_two_steps_finds_each_once(zone, at, cut, first):
    place, schedule = ZoneInfo(zone), plan(every="day", at=at)
    begin, end = midnight(first, place), midnight(first + timedelta(days=30), place)
    middle = min(begin + timedelta(minutes=cut), end)
    steps = [*occurrences(schedule, place, ALWAYS, begin, middle), *occurrences(schedule, place, ALWAYS, middle, end)]
    assert steps == list(occurrences(schedule, place, ALWAYS, begin, end))


def test_the_clock_goes_forward_and_back():
    daily = plan(every="day", at="01:30", due="06:00")
    forward, _, *_ = found(daily, "Europe/London", date(2026, 3, 29), date(2026, 3, 31))
    assert forward.opens_at == datetime(2026, 3, 29, 1, 30, tzinfo=UTC), "01:30 is left out, so 02:30 in summer time"
    assert forward.due_at == datetime(2026, 3, 29, 5, 0, tzinfo=UTC)
    back = found(daily, "Europe/London", date(2026, 10, 25), date(2026, 10, 26))[0]
    assert back.opens_at == datetime(2026, 10, 25, 0, 30, tzinfo=UTC), "the first of the two"
    assert back.due_at == datetime(2026, 10, 25, 6, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("day", "wanted"),
    [(31, ["2026-01-31", "2026-02-28", "2026-03-31"]), ("last", ["2026-01-31", "2026-02-28", "2026-03-31"])],
)
def test_the_end_of_a_month(day, wanted):
    made = found(plan(every="month", day=day), "UTC", date(2026, 1, 1), date(2026, 4, 1))
    assert [str(one.opens_at.date()) for one in made] == wanted
    assert [one.period for one in made] == ["2026-01", "2026-02", "2026-03"]


def test_a_holiday_moves_a_weekly_list_to_the_next_trading_day_or_else_back():
    calendar = Calendar.of(
        {"days": ["mon", "tue", "wed", "thu", "fri"], "holidays": ["2026-12-25"]}, plan(every="week")
    )
    friday = found(plan(every="week", day="fri"), "UTC", date(2026, 12, 21), date(2026, 12, 28), calendar)
    assert [str(one.opens_at.date()) for one in friday] == ["2026-12-24"]
    monday = Calendar.of({"holidays": ["2026-12-21"]}, plan(every="week"))
    assert str(found(plan(every="week"), "UTC", date(2026, 12, 21), date(2026, 12, 28), monday)[0].opens_at.date()) == (
        "2026-12-22"
    )


def test_a_list_says_other_days_than_its_environment():
    schedule = plan(every="day", days=["sat"], holidays=[])
    calendar = Calendar.of({"days": ["mon"], "holidays": ["2026-11-28"]}, schedule)
    made = found(schedule, "UTC", date(2026, 11, 23), date(2026, 11, 30), calendar)
    assert [one.period for one in made] == ["2026-11-28"]


def test_hours_until_it_is_due_and_closes():
    made = found(plan(every="week", at="06:00", due=10, closes=30), "UTC", date(2026, 11, 23), date(2026, 11, 30))[0]
    assert made.due_at - made.opens_at == timedelta(hours=10) and made.closes_at - made.opens_at == timedelta(hours=30)


def test_a_list_for_deployments_is_never_due():
    assert found(plan(every="deployment"), "UTC", date(2026, 1, 1), date(2027, 1, 1)) == []
