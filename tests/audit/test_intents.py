"""Acts that began and have no recorded end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from audit import intents
from audit.models import Record
from audit.queries import Reader
from tests.audit.records import make

NOW = datetime(2026, 1, 21, 13, 0, tzinfo=UTC)
ALL = Reader(None)
STEP = {"action": "deployment.step_started", "object_type": "deployment", "outcome": "intent"}
REPAIR = {"action": "traffic.drift_repaired", "object_type": "environment", "object_id": "1"}
EXPORT = {"action": "audit.exported", "actor_name": "Ada Admin"}


def ago(**how_long: float) -> datetime:
    return NOW - timedelta(**how_long)


def open_now(reader: Reader = ALL) -> list[Record]:
    return intents.without_end(reader, NOW)


def test_an_intent_is_missed_after_a_minute_and_for_a_week(db):
    make(ago(seconds=50), **REPAIR, outcome="intent")
    assert open_now() == []
    late = make(ago(seconds=70), **REPAIR | {"object_id": "2"}, outcome="intent")
    old = make(ago(days=6), **REPAIR | {"object_id": "3"}, outcome="intent")
    make(ago(days=8), **REPAIR | {"object_id": "4"}, outcome="intent")
    assert open_now() == [late, old]


@pytest.mark.parametrize("outcome", ["done", "failed", "denied"])
def test_a_later_record_of_the_same_act_ends_it(db, outcome):
    make(ago(minutes=9), **REPAIR, outcome="done")
    intent = make(ago(minutes=5), **REPAIR, outcome="intent")
    make(ago(minutes=4), **REPAIR | {"object_id": "2"}, outcome=outcome)
    make(ago(minutes=4), **REPAIR | {"action": "writer.drift_repaired"}, outcome=outcome)
    make(ago(minutes=4), **REPAIR, outcome="intent")
    assert [record.object_id for record in open_now()] == ["1"] and intent not in open_now(), "the newest try speaks"
    make(ago(minutes=3), **REPAIR, outcome=outcome)
    assert open_now() == []


@pytest.mark.parametrize("end", ["deployment.step_succeeded", "deployment.step_failed", "deployment.finished"])
def test_a_step_is_ended_by_its_outcome_or_the_end_of_its_deployment(db, end):
    intent = make(ago(minutes=5), **STEP, object_id="999999")
    assert open_now() == [intent]
    make(ago(minutes=4), action=end, object_type="deployment", object_id="999999")
    assert open_now() == []


def test_a_deployment_that_is_worked_on_is_no_alarm_and_one_left_alone_is(deployment_in_a_state):
    made = deployment_in_a_state
    intent = make(ago(minutes=5), **STEP, object_id=str(made.pk))
    for name, fields, is_open in (
        ("a worker holds it", {"due_at": ago(minutes=3), "lease_expires_at": in_a_moment()}, False),
        ("it watches, and is due later", {"due_at": in_a_moment(), "lease_expires_at": None}, False),
        ("it is held", {"due_at": None, "lease_expires_at": None, "status": "held"}, False),
        ("nobody took it", {"due_at": ago(minutes=3), "lease_expires_at": None, "status": "running"}, True),
        ("its worker is gone", {"due_at": ago(minutes=3), "lease_expires_at": ago(minutes=2)}, True),
        ("it ended without a word", {"status": "aborted", "due_at": None}, True),
    ):
        type(made).objects.filter(pk=made.pk).update(**fields)
        assert open_now() == ([intent] if is_open else []), name


def in_a_moment() -> datetime:
    return datetime.now(UTC) + timedelta(minutes=10)


@pytest.fixture
def deployment_in_a_state(production, release):
    from deployments.models import Deployment

    blue, green = production.slots.order_by("name")
    return Deployment.objects.create(
        environment=production,
        to_release=release("v1.2.5"),
        from_slot=blue,
        to_slot=green,
        strategy="blue_green",
        status="running",
        reason="Test",
        requested_by_name="Ada Admin",
    )


def test_an_act_on_no_object_is_ended_within_its_request_and_may_last_as_long_as_it_says(db):
    make(ago(minutes=5), **EXPORT, outcome="intent", request_id="one")
    assert open_now() == []
    late = [make(ago(minutes=20 + n), **EXPORT, outcome="intent", request_id=name) for n, name in enumerate("ab")]
    assert open_now() == late
    make(ago(minutes=19), **EXPORT, outcome="done", request_id="a")
    assert open_now() == late[1:]


def test_people_see_those_of_their_environments(db):
    intent = make(ago(minutes=5), **REPAIR, outcome="intent", environment="production")
    assert open_now(Reader(("production",))) == [intent]
    assert open_now(Reader(("staging",))) == [] and open_now(Reader(())) == []


def test_it_takes_one_query_when_all_is_well(db, django_assert_num_queries):
    for number in range(5):
        make(ago(minutes=5), **REPAIR | {"object_id": str(number)}, outcome="intent")
        make(ago(minutes=4), **REPAIR | {"object_id": str(number)}, outcome="done")
    with django_assert_num_queries(1):
        assert open_now() == []


def test_what_ends_an_action_is_said_once():
    with pytest.raises(ValueError, match="twice"):
        intents.ends("audit.exported")
