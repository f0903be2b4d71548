"""Two people at the same moment, each with a connection of their own: one act is done, the other is told why not."""

from __future__ import annotations

import threading

import pytest
from django.db import connection, transaction

from accounts.domain import NotWaiting
from deployments import actions, approval_actions, starting
from deployments.errors import Blocked
from deployments.models import Approval, Deployment
from tests.deployments.approvals_world import at_once, fresh_approval, of
from tests.deployments.test_lease import waiting_for_a_lock
from tests.deployments.toys import fresh, trail
from tests.deployments.world import until

pytestmark = pytest.mark.django_db(transaction=True)
REASON = "Because"


@pytest.fixture
def dora(developer, actor_of):
    """Asks."""
    return actor_of(developer)


@pytest.fixture
def anna(person, system, actor_of):
    """A second Admin."""
    return actor_of(person("anna", "Admin"))


@pytest.fixture
def asked(serve, release, production, script, dora) -> Approval:
    """A request of Dora for v1.2.5."""
    serve()
    return of(actions.start(dora, production, release("v1.2.5"), "blue_green", REASON))


def approve(actor, approval: Approval):
    """As somebody does who has just loaded the page."""
    return lambda: approval_actions.approve(actor, fresh_approval(approval), approval.subject_hash)


def errors(found) -> list[type]:
    return [type(one) for one in found if isinstance(one, Exception)]


def test_two_admins_approve_at_once_and_one_deployment_starts(asked, ada, anna):
    found = at_once(approve(ada, asked), approve(anna, asked))
    assert errors(found) == [NotWaiting]
    deployment = Deployment.objects.get()
    assert deployment.status == "pending" and deployment.steps.count() == len(asked.subject["plan"])
    assert len(trail("deployment.approved")) == len(trail("deployment.started")) == 1
    assert fresh_approval(asked).decided_by_name == trail("deployment.approved")[0].actor_name


def test_approve_against_withdraw_one_of_them_counts(asked, ada, dora):
    found = at_once(approve(ada, asked), lambda: approval_actions.withdraw(dora, fresh_approval(asked)))
    assert errors(found) == [NotWaiting]
    state, status = fresh_approval(asked).state, fresh(asked.deployment).status
    assert (state, status) in (("approved", "pending"), ("withdrawn", "aborted"))
    assert len(trail("deployment.approved")) + len(trail("deployment.request_withdrawn")) == 1


def test_approve_against_reject_one_of_them_counts(asked, ada, anna):
    found = at_once(approve(ada, asked), lambda: approval_actions.reject(anna, fresh_approval(asked), REASON))
    assert errors(found) == [NotWaiting]
    assert len(trail("deployment.approved")) + len(trail("deployment.rejected")) == 1


@pytest.mark.parametrize("first", ["approve", "withdraw"])
def test_who_comes_second_waits_for_the_first_and_is_told(first, asked, ada, dora):
    """The first has done it, and has not committed yet."""
    acts = {
        "approve": approve(ada, asked),
        "withdraw": lambda: approval_actions.withdraw(dora, fresh_approval(asked)),
    }
    outcome: list[object] = []
    thread = threading.Thread(target=lambda: outcome.extend(at_once(acts[second])))
    second = "withdraw" if first == "approve" else "approve"
    with transaction.atomic():
        acts[first]()
        thread.start()
        until(lambda: waiting_for_a_lock() >= 1, "the second waits")
    thread.join(30)
    assert errors(outcome) == [NotWaiting]
    assert fresh_approval(asked).state == {"approve": "approved", "withdraw": "withdrawn"}[first]
    assert len(trail("deployment.approved")) + len(trail("deployment.request_withdrawn")) == 1


def test_approve_while_another_deployment_starts(asked, ada, anna, production, release):
    other = release("v1.2.6")
    found = at_once(approve(ada, asked), lambda: actions.start(anna, production, other, "blue_green", REASON))
    assert errors(found) == [Blocked]
    assert Deployment.objects.active().count() == 1
    approved = fresh(asked.deployment).status == "pending"
    assert fresh_approval(asked).state == ("approved" if approved else "waiting")
    assert Deployment.objects.count() == (1 if approved else 2)


def test_two_requests_approved_at_once_start_one(asked, ada, anna, dora, production, release):
    second = of(actions.start(dora, production, release("v1.2.6"), "blue_green", REASON))
    found = at_once(approve(ada, asked), approve(anna, second))
    assert errors(found) == [Blocked]
    assert sorted(Approval.objects.values_list("state", flat=True)) == ["approved", "waiting"]


@pytest.mark.parametrize("change", ["subject", "start"])
def test_an_approval_that_waited_for_the_environment_sees_what_happened_meanwhile(
    change, asked, ada, anna, production, release
):
    """What it compared before the lock counts for nothing."""
    other, outcome = release("v1.2.6"), []

    def run() -> None:
        outcome.extend(at_once(approve(ada, asked)))

    thread = threading.Thread(target=run)
    with transaction.atomic():
        locked = starting.lock(production)
        thread.start()
        until(lambda: waiting_for_a_lock() >= 1, "the approval waits for the environment")
        if change == "subject":
            locked.live_slot.version = "v1.2.3"
            locked.live_slot.save()
        else:
            actions.start(anna, production, other, "blue_green", REASON)
    thread.join(30)
    connection.close()
    told = {"subject": "has changed: the live release: v1.2.4, now v1.2.3", "start": "v1.2.6"}[change]
    assert told in str(outcome[0]), outcome
    assert fresh_approval(asked).state == {"subject": "fallen", "start": "waiting"}[change]
    assert fresh(asked.deployment).status == {"subject": "aborted", "start": "awaiting_approval"}[change]
