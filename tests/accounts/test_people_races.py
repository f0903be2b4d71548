"""Two Admins at once, with real threads and connections."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connections, transaction

from accounts import people_actions, people_queries
from accounts.errors import Forbidden, LastAdmin
from accounts.models import User
from audit.models import Record

pytestmark = pytest.mark.django_db(transaction=True)
ACTS: dict[str, Callable[..., Any]] = {
    "demote": lambda actor, user: people_actions.change_role(actor, user, "Operator", "You first"),
    "deactivate": lambda actor, user: people_actions.deactivate(actor, user, "You first"),
}


def together(*calls: Callable[[], Any]) -> list[str]:
    """Run each in a thread of its own, held back until all of them wait for the lock; how each ended."""
    ends = [""] * len(calls)

    def run(place: int, call: Callable[[], Any]) -> None:
        try:
            call()
            ends[place] = "done"
        except (Forbidden, LastAdmin) as error:
            ends[place] = type(error).__name__
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(place, call)) for place, call in enumerate(calls)]
    with transaction.atomic():
        Group.objects.select_for_update(no_key=True).get(name="Admin")
        for thread in threads:
            thread.start()
        while _waiting() < len(calls):
            assert all(thread.is_alive() for thread in threads), f"somebody did not take the lock: {ends}"
    for thread in threads:
        thread.join(10)
    return sorted(ends)


def _waiting() -> int:
    """How many connections wait for a lock now."""
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")  # within a transaction one look would serve for ever
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        return int(cursor.fetchone()[0])


@pytest.mark.parametrize("first", ACTS)
@pytest.mark.parametrize("second", ACTS)
def test_of_two_admins_who_shut_each_other_out_one_loses(first, second, person, actor_of, system):
    ada, alan = person("ada", "Admin"), person("alan", "Admin")
    by_ada, by_alan = actor_of(ada), actor_of(alan)
    ends = together(lambda: ACTS[first](by_ada, alan), lambda: ACTS[second](by_alan, ada))
    assert ends == ["Forbidden", "done"]
    assert len(people_queries.active_admins()) == 1
    kept = Record.objects.filter(action__in=("user.role_changed", "user.deactivated")).get()
    denied = Record.objects.get(action="access.denied")
    assert kept.actor != denied.actor


def test_two_who_demote_the_last_two_others_leave_one(person, actor_of, system):
    from audit.actors import Actor

    machine = Actor(name="root (command line)", via="cli", role="System")
    people = [person(name, "Admin") for name in ("ada", "alan")]
    ends = together(*(lambda user=user: ACTS["demote"](machine, user) for user in people))
    assert ends == ["LastAdmin", "done"] and len(people_queries.active_admins()) == 1


def test_a_role_that_two_change_at_once_is_changed_twice_and_written_twice(person, actor_of, system):
    ada, alan, otto = person("ada", "Admin"), person("alan", "Admin"), person("otto", "Operator")
    by_ada, by_alan = actor_of(ada), actor_of(alan)
    ends = together(
        lambda: people_actions.change_role(by_ada, otto, "Developer", "Builds"),
        lambda: people_actions.change_role(by_alan, otto, "Admin", "Helps"),
    )
    assert ends == ["done", "done"]
    first, last = Record.objects.filter(action="user.role_changed").order_by("id")
    assert first.after["role"] == last.before["role"] and last.after["role"] == User.objects.get(pk=otto.pk).role
