"""What alerts tell a checklist: how many are open, how grave, and one query for all of them."""

from __future__ import annotations

import pytest
from django.utils import timezone

from alerts.actions import clear, raise_alert
from alerts.models import Alert
from audit.actors import system as system_actor
from environments import evidence
from environments.evidence import Subject, Verdict

pytestmark = pytest.mark.django_db
TESTS = system_actor("tests")


def read(name, environment):
    return evidence.read(name, Subject(environment)).reading


def make(key, environment, severity="warning", **fields):
    raise_alert(
        "breach", key, severity=severity, title=f"Trouble {key}", environment=environment, actor=TESTS, **fields
    )


def test_open_alerts_are_counted_by_gravity(production, staging):
    make("elsewhere", staging, "critical")
    assert read("alerts.open", production).value == "None is open"
    make("one", production)
    found = read("alerts.open", production)
    assert found.verdict == Verdict.WARN and found.value.startswith("1 alert open, 0 critical, 1 not acknowledged")
    assert read("alerts.critical", production).verdict == Verdict.PASS
    make("two", None, "critical")
    found = read("alerts.open", production)
    assert found.verdict == Verdict.FAIL and found.value.startswith("2 alerts open, 1 critical")
    assert found.value.endswith("The first: Trouble two") and "Trouble one" in found.detail
    assert found.link == "/alerts/?environment=production"
    found = read("alerts.critical", production)
    assert found.verdict == Verdict.FAIL and "the cause of 1 is still there" in found.value


def test_one_whose_cause_is_gone_waits_for_somebody_and_then_is_over(production):
    make("one", production, "critical")
    clear("breach", "one", actor=TESTS)
    for name in ("alerts.open", "alerts.critical"):
        assert read(name, production).verdict == Verdict.WARN, name
    Alert.objects.update(acknowledged_at=timezone.now())
    for name in ("alerts.open", "alerts.critical"):
        assert read(name, production).verdict == Verdict.PASS, name


def test_the_list_takes_one_query(production, django_assert_num_queries):
    for number in range(5):
        make(str(number), production)
    with django_assert_num_queries(1):
        read("alerts.open", production)
