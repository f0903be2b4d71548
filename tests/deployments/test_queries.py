"""What the page offers is what the use cases accept, in every state; and the advice."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from deployments import actions, queries
from deployments.errors import WrongState
from deployments.models import Step, VerdictRow
from deployments.states import Status
from tests.deployments.toys import fresh, fresh_environment, set_state


class Undo(Exception):
    """Takes back what a test tried."""


def accepted(ada, deployment, act: str) -> bool:
    """Whether the use case does it."""
    try:
        with transaction.atomic():
            getattr(actions, act)(ada, deployment, "Because")
            raise Undo
    except WrongState:
        return False
    except Undo:
        return True


def arrange(deployment, status, phase, accepted_at=None):
    now = timezone.now()
    times = {"before": {}, "handover": {"handover_at": now}, "promoted": {"handover_at": now, "promoted_at": now}}[
        phase
    ]
    fields = {"handover_at": None, "promoted_at": None, "accepted_at": accepted_at, "status": status, **times}
    set_state(deployment, **fields)
    environment = fresh_environment(deployment.environment)
    environment.live_slot = deployment.from_slot if phase != "promoted" else deployment.to_slot
    environment.save()


@pytest.mark.parametrize("phase", ["before", "handover", "promoted"])
def test_the_offers_are_what_the_use_cases_accept(begin, ada, phase):
    deployment = begin()
    for status, accepted_at in [*((status, None) for status in Status), (Status.WATCHING, timezone.now())]:
        arrange(deployment, status, phase, accepted_at)
        offers = queries.allowed_acts(ada, fresh(deployment))
        found = {act: offer.allowed for act, offer in offers.items()}
        assert found == {act: accepted(ada, deployment, act) for act in queries.ACTS}, status
        assert all(offer.why_not for offer in offers.values() if not offer.allowed)


@pytest.mark.parametrize("status", [Status.PENDING, Status.RUNNING, Status.SUCCEEDED, Status.FAILED])
def test_the_offers_of_a_rollback(begin, ada, status):
    deployment = begin()
    arrange(deployment, "watching", "promoted")
    rollback = actions.roll_back(ada, deployment, "Because")
    set_state(rollback, status=status, handover_at=timezone.now())
    offers = queries.allowed_acts(ada, fresh(rollback))
    assert {act for act, offer in offers.items() if offer.allowed} == set()
    assert {act for act in queries.ACTS if accepted(ada, rollback, act)} == set()


def test_trading_is_never_held_without_a_writer(begin, ada):
    """Between the shift and the grant of the trading role nobody trades: there is no pause there."""
    deployment = begin()
    arrange(deployment, "running", "promoted")
    with pytest.raises(WrongState):
        actions.hold(ada, deployment, "Because")


def test_only_the_newest_of_two_successes_can_be_rolled_back(begin, ada, production, release):
    """Also when the older one's slot is the live one again."""
    older = begin()
    arrange(older, "succeeded", "promoted")
    copies = []
    for _ in range(2):
        copy = fresh(older)
        copy.pk = None
        copy.save()
        copies.append(set_state(copy))
    for deployment, expected in ((older, False), (copies[0], False), (copies[1], True)):
        assert accepted(ada, deployment, "roll_back") is expected
        assert queries.allowed_acts(ada, fresh(deployment))["roll_back"].allowed is expected


def test_without_permission_nothing_is_offered(begin, operator, actor_of):
    offers = queries.allowed_acts(actor_of(operator), begin())
    assert {offer.allowed for offer in offers.values()} == {False}


def test_what_happens_next_by_itself(begin):
    deployment = begin()
    assert queries.next_event(fresh(deployment)) is None
    now = timezone.now()
    arrange(deployment, "watching", "promoted")
    set_state(deployment, promoted_at=now)
    Step.objects.filter(deployment=deployment).exclude(name="watch").update(status="succeeded")
    assert queries.next_event(fresh(deployment)) == ("The watch ends", now + timedelta(seconds=20))
    Step.objects.filter(deployment=deployment, params__until="watch").update(status="succeeded")
    assert queries.next_event(fresh(deployment)) == ("Marked as successful", now + timedelta(seconds=40))


@pytest.mark.parametrize(
    ("verdict", "kept", "verb"),
    [("pass", False, "monitor"), ("fail", False, "roll_back"), ("fail", True, "monitor"), ("no_data", False, "hold")],
)
def test_the_advice_follows_from_the_verdicts(begin, verdict, kept, verb):
    deployment = begin()
    assert queries.recommendation(fresh(deployment)).verb == "none"  # before the promotion
    now = timezone.now()
    arrange(deployment, "watching", "promoted", now if kept else None)
    Step.objects.filter(deployment=deployment).exclude(name="watch").update(status="succeeded")
    fields = {"rule": "Latency p99", "kind": "latency", "action": "recommend", "since": now, "at": now}
    hold = "now" if verdict == "no_data" else "no"
    VerdictRow.objects.create(deployment=deployment, verdict=verdict, reason="6 times as slow", hold=hold, **fields)
    VerdictRow.objects.create(deployment=deployment, verdict="fail", is_current=False, **fields)
    assert queries.recommendation(fresh(deployment)).verb == verb
