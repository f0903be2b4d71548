"""API keys as use cases: bounds, making, rotating with an overlap, revoking, what is due, and the command."""

from __future__ import annotations

import re
from datetime import timedelta
from importlib import import_module

import pytest
from django.apps import apps
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as some

from accounts import key_actions, queries, tasks
from accounts.authentication import KeyRefused, check_bearer
from accounts.errors import Forbidden, InsufficientScope, KeyStateError
from accounts.limits import SCOPE_WORDS, SCOPES, Limits, is_from, read_network
from accounts.models import APIKey, SignInFailure
from audit.actors import system as system_actor
from audit.models import Record
from tests.accounts.factors import make_key

ALL = {"scopes": SCOPES, "environments": None, "networks": ()}
DAY = timedelta(days=1)


@pytest.fixture
def make(actor_of):
    """Make a key for oneself: ``make(operator, scopes=[...])`` -> (key, text)."""
    return lambda user, name="Mine", **given: key_actions.create_api_key(actor_of(user), user, name, **{**ALL, **given})


@pytest.fixture
def with_key(actor_of):
    """The actor who came with an API key: ``with_key(key)``."""

    def make(key):
        key.owner.limits = key.limits
        return actor_of(key.owner)

    return make


def ends(key, at) -> None:
    """Let a key that was made long enough ago end at a moment."""
    APIKey.objects.filter(pk=key.pk).update(created_at=at - 90 * DAY, expires_at=at)


def test_a_key_is_made_with_its_bounds(make, operator, system):
    given = {"scopes": ["emergency_stop"], "environments": ["staging"], "networks": ["10.1.0.0/16", " 2001:db8::/32"]}
    key, text = make(operator, "  Watchdog ", days=30, **given)
    assert (key.name, key.environments) == ("Watchdog", ["staging"])
    assert key.scopes == ["view_environment", "emergency_stop"] and key.networks == ["10.1.0.0/16", "2001:db8::/32"]
    assert timedelta(days=29, hours=23) < key.expires_at - timezone.now() <= timedelta(days=30)
    assert check_bearer(text, address="10.1.9.9").pk == key.pk
    record = Record.objects.get(action="api_key.created")
    assert record.after["prefix"] == key.prefix and record.after["environments"] == ["staging"]
    assert text not in str(record.after) and key.digest not in str(record.after)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"days": 0}, "days"),
        ({"days": 91}, "days"),
        ({"days": -1}, "days"),
        ({"name": " "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"scopes": ["root"]}, "scopes"),
        ({"environments": ["nowhere"]}, "environments"),
        ({"environments": []}, "environments"),
        ({"networks": ["10.0.0.1/8"]}, "networks"),
        ({"networks": ["example.com"]}, "networks"),
        ({"networks": ["10.0.0.0/8"] * 21}, "networks"),
    ],
)
def test_wrong_bounds_are_named(make, operator, given, field):
    with pytest.raises(ValidationError) as error:
        make(operator, given.pop("name", "Mine"), **given)
    assert field in error.value.message_dict and not APIKey.objects.exists()


def test_an_environment_that_the_owner_does_not_see_cannot_be_named(make, person, system):
    with pytest.raises(ValidationError, match="Nemo Nobody sees: none"):
        make(person("nemo", None), environments=["production"])


def test_only_the_owner_makes_and_rotates_a_key(make, actor_of, admin, operator, developer):
    """Whoever holds a key of somebody acts as them, and nobody approves their own request as somebody else."""
    key, _ = make(operator)
    for other in (admin, developer):
        with pytest.raises(Forbidden, match="Otto Operator in person"):
            key_actions.create_api_key(actor_of(other), operator, "Theirs", **ALL)
        with pytest.raises(Forbidden, match="Otto Operator in person"):
            key_actions.rotate_api_key(actor_of(other), key)
    assert Record.objects.filter(action="access.denied").count() == 4 and APIKey.objects.count() == 1


def test_an_admin_revokes_keys_of_others(make, actor_of, admin, operator, developer):
    key, text = make(operator)
    with pytest.raises(Forbidden, match="It takes: Admin"):
        key_actions.revoke_api_key(actor_of(developer), key)
    assert key_actions.revoke_api_key(actor_of(admin), key, "Lost").revoked_at
    key_actions.revoke_api_key(actor_of(operator), key)
    assert Record.objects.get(action="api_key.revoked").reason == "Lost"
    with pytest.raises(KeyRefused, match="revoked on"):
        check_bearer(text)


def test_no_key_for_somebody_inactive(operator):
    operator.is_active = False
    with pytest.raises(ValidationError, match="not active"):
        key_actions.create_api_key(system_actor("tests"), operator, "Theirs", **ALL)


# --- A key makes nothing that could do more than itself

NARROW = {"scopes": ["run_checklists"], "environments": ["staging"], "networks": ["10.1.0.0/16"]}


@pytest.mark.parametrize(
    "more",
    [
        {"scopes": ["run_checklists", "emergency_stop"]},
        {"environments": None},
        {"environments": ["staging", "production"]},
        {"networks": ()},
        {"networks": ["10.0.0.0/8"]},
        {"networks": ["10.1.2.0/24", "10.2.0.0/24"]},
        {"networks": ["::/0"]},
    ],
)
def test_no_key_makes_rotates_or_revokes_a_wider_one(make, with_key, operator, more):
    narrow, _ = make(operator, days=20, **NARROW)
    wide, _ = make(operator, "Wide", **{**NARROW, **more})
    actor = with_key(narrow)
    for act in (
        lambda: key_actions.create_api_key(actor, operator, "More", **{**NARROW, **more}, days=5),
        lambda: key_actions.rotate_api_key(actor, wide),
        lambda: key_actions.revoke_api_key(actor, wide),
    ):
        with pytest.raises(InsufficientScope):
            act()
    assert APIKey.objects.count() == 2


def test_a_key_makes_and_rotates_within_its_bounds_and_does_not_outlive_itself(make, with_key, operator, system):
    narrow, _ = make(operator, days=20, **NARROW)
    actor = with_key(narrow)
    less = {"scopes": [], "environments": ["staging"], "networks": ["10.1.2.0/24"]}
    assert key_actions.create_api_key(actor, operator, "Less", **less, days=19)[0].pk
    with pytest.raises(ValidationError, match="ends no later than that one"):
        key_actions.create_api_key(actor, operator, "Longer", **less, days=21)
    assert key_actions.rotate_api_key(actor, narrow)[0].replaces == narrow


@given(
    some.sets(some.sampled_from(SCOPES)),
    some.sets(some.sampled_from(SCOPES)),
    some.booleans(),
    some.sets(some.just("a")),
)
def test_covering_is_what_permits_and_reaches_say(outer_scopes, inner_scopes, everywhere, names):
    outer = Limits(frozenset(outer_scopes), None if everywhere else frozenset(names))
    inner = Limits(frozenset(inner_scopes), frozenset({"a"}))
    wanted = all(outer.permits(scope) for scope in inner_scopes) and outer.reaches("a")
    assert outer.covers(inner) == wanted and outer.covers(outer)


# --- Networks


@pytest.mark.parametrize(
    ("address", "networks", "admitted"),
    [
        ("192.0.2.7", [], True),
        ("", [], True),
        ("192.0.2.7", ["192.0.2.0/24"], True),
        ("192.0.3.7", ["192.0.2.0/24"], False),
        ("::ffff:192.0.2.7", ["192.0.2.0/24"], True),
        ("::ffff:192.0.3.7", ["192.0.2.0/24"], False),
        ("2001:db8::1", ["192.0.2.0/24", "2001:db8::/32"], True),
        ("2001:db9::1", ["2001:db8::/32"], False),
        ("", ["192.0.2.0/24"], False),
        ("unix", ["0.0.0.0/0"], False),
    ],
)
def test_networks(address, networks, admitted):
    assert is_from(address, networks) is admitted


def test_one_address_is_a_network_and_loose_bits_are_none():
    assert str(read_network("192.0.2.7")) == "192.0.2.7/32" and str(read_network(" ::1 ")) == "::1/128"
    with pytest.raises(ValueError, match="host bits"):
        read_network("192.0.2.7/24")


def test_every_scope_has_words():
    assert set(SCOPE_WORDS) == set(SCOPES)


# --- Rotation


def test_rotation_leaves_both_working_for_the_overlap(make, actor_of, operator, system):
    old, text = make(operator, days=30, **{**NARROW, "networks": ()})
    new, new_text = key_actions.rotate_api_key(actor_of(operator), old, 2)
    old.refresh_from_db()
    assert (new.name, new.scopes, new.environments) == (old.name, old.scopes, old.environments) and new.replaces == old
    assert timedelta(days=29, hours=23) < new.expires_at - timezone.now() <= timedelta(days=30)
    assert timedelta(minutes=119) < old.expires_at - timezone.now() <= timedelta(hours=2)
    assert check_bearer(text).pk == old.pk and check_bearer(new_text).pk == new.pk
    states = {key.pk: key.state for key in queries.keys_of(operator)}
    assert states == {old.pk: "replaced", new.pk: "usable"}
    record = Record.objects.get(action="api_key.rotated")
    assert record.after["new"]["prefix"] == new.prefix and new_text not in str(record.after)
    APIKey.objects.filter(pk=old.pk).update(expires_at=timezone.now())
    with pytest.raises(KeyRefused, match="expired"):
        check_bearer(text)


def test_no_overlap_ends_the_old_key_at_once_and_none_lengthens_it(make, actor_of, operator):
    now, _ = make(operator, "Now")
    key_actions.rotate_api_key(actor_of(operator), now, 0)
    now.refresh_from_db()
    assert now.state == "expired"
    short, _ = make(operator, "Short", days=1)
    before = short.expires_at
    key_actions.rotate_api_key(actor_of(operator), short, 168)
    short.refresh_from_db()
    assert short.expires_at == before


def test_what_cannot_be_rotated(make, actor_of, operator):
    actor = actor_of(operator)
    twice, revoked, over = (make(operator, name)[0] for name in ("Twice", "Revoked", "Over"))
    login = APIKey.objects.get(prefix=make_key(operator, kind="login").split("_")[1])
    key_actions.rotate_api_key(actor, twice)
    key_actions.revoke_api_key(actor, revoked)
    ends(over, timezone.now())
    for key, says in (
        (twice, "rotated already"),
        (revoked, "nothing to rotate"),
        (over, "nothing to rotate"),
        (login, "sign in again"),
    ):
        with pytest.raises(KeyStateError, match=says):
            key_actions.rotate_api_key(actor, key)
    for hours in (-1, 169):
        with pytest.raises(ValidationError, match="0 to 168 hours"):
            key_actions.rotate_api_key(actor, make(operator)[0], hours)


# --- What is due


def test_keys_are_due_in_their_last_14_days(make, operator, person):
    soon, later, short, replaced, gone, revoked = (make(operator, name)[0] for name in "abcdef")
    now = timezone.now()
    ends(soon, now + 13 * DAY)
    ends(later, now + 15 * DAY)
    APIKey.objects.filter(pk=short.pk).update(expires_at=now + 7 * DAY)  # made for a week: not due from its first day
    ends(replaced, now + 2 * DAY)
    APIKey.objects.filter(pk=later.pk).update(replaces=replaced)
    ends(gone, now)
    ends(revoked, now + 5 * DAY)
    APIKey.objects.filter(pk=revoked.pk).update(revoked_at=now)
    make_key(operator, kind="login", days=0.01)
    assert [key.name for key in queries.keys_due()] == ["a"]
    states = {key.name: key.state for key in queries.keys_of(operator)}
    assert states == {"a": "due", "b": "usable", "c": "usable", "d": "replaced", "e": "expired", "f": "revoked"}
    APIKey.objects.filter(pk=short.pk).update(expires_at=now + 2 * DAY)
    assert [key.name for key in queries.keys_due()] == ["c", "a"]
    operator.is_active = False
    operator.save()
    assert not queries.keys_due().exists() and queries.keys_of(operator)[0].state in {"inactive", "revoked", "expired"}


def test_a_reminder_is_given_once_at_14_days_at_3_days_and_at_the_end(make, operator):
    key, _ = make(operator)
    start = timezone.now()
    moments = [(15, 0), (13.9, 1), (13.8, 0), (4, 0), (2.9, 1), (2.8, 0), (0.1, 0), (-0.01, 1), (-0.02, 0), (-2, 0)]
    ends(key, start + 20 * DAY)
    for days_left, wanted in moments:
        at = start + 20 * DAY - days_left * DAY
        assert key_actions.remind_of_due_keys(system_actor("keys"), at) == wanted, days_left
    told = [record.after["days_left"] for record in Record.objects.filter(action="api_key.due").order_by("id")]
    assert told == [13, 2, 0]


def test_no_reminder_for_keys_that_nobody_has_to_rotate(make, actor_of, operator):
    replaced, revoked = make(operator, "Replaced")[0], make(operator, "Revoked")[0]
    key_actions.rotate_api_key(actor_of(operator), replaced)
    key_actions.revoke_api_key(actor_of(operator), revoked)
    ends(revoked, timezone.now() + DAY)
    make_key(operator, kind="login", days=0.01)
    assert key_actions.remind_of_due_keys(system_actor("keys")) == 0


def test_the_hourly_tasks(make, operator, settings):
    key, _ = make(operator)
    ends(key, timezone.now() + DAY)
    make_key(operator, kind="login", days=-2)
    SignInFailure.objects.create(subject="address:x")
    SignInFailure.objects.update(at=timezone.now() - 2 * DAY)
    tasks.remind_of_due_keys()
    tasks.prune_sign_ins()
    assert Record.objects.get(action="api_key.due").via == "system"
    assert list(APIKey.objects.all()) == [key] and not SignInFailure.objects.exists()
    scheduled = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    assert {tasks.remind_of_due_keys.name, tasks.prune_sign_ins.name} <= scheduled


def test_lists_take_one_query(make, operator, actor_of, django_assert_num_queries):
    for number in range(5):
        key_actions.rotate_api_key(actor_of(operator), make(operator, f"Key {number}")[0])
    for found in (queries.all_keys(), queries.keys_of(operator), queries.keys_due(timedelta(days=90))):
        with django_assert_num_queries(1):
            rows = [(key.state, key.owner.username, getattr(key, "replaced_by", None), key.replaces) for key in found]
        assert rows


# --- The command


def test_the_command(operator, system, capsys):
    bounds = ["--scope", "emergency_stop", "--environment", "staging", "--network", "10.0.0.0/8"]
    call_command("api_key", "create", "otto", "--name", "Script", "--days", "7", *bounds)
    text = capsys.readouterr().out.strip()
    assert re.fullmatch(r"opsc_[a-z0-9]+_[A-Za-z0-9_-]{43}", text)
    key = check_bearer(text)
    assert (key.scopes, key.environments) == (["view_environment", "emergency_stop"], ["staging"])
    call_command("api_key", "list", "--username", "otto")
    listed = capsys.readouterr().out
    assert f"{key.prefix}  otto  Script" in listed and "  usable" in listed and text not in listed
    call_command("api_key", "rotate", key.prefix, "--overlap-hours", "1")
    new = check_bearer(capsys.readouterr().out.strip())
    assert new.replaces == key and new.environments == ["staging"]
    call_command("api_key", "revoke", new.prefix)
    call_command("api_key", "list")
    assert "not usable" in capsys.readouterr().out
    call_command("api_key", "list", "--due")
    assert capsys.readouterr().out == ""
    for wrong in (
        ("revoke", "nonsense"),
        ("rotate", new.prefix),
        ("create", "nobody", "--name", "x"),
        ("create", "otto", "--name", ""),
        ("create", "otto", "--name", "x", "--environment", "nowhere"),
    ):
        with pytest.raises(CommandError):
            call_command("api_key", *wrong)


def test_a_key_of_the_command_may_do_everything_unless_it_is_bounded(operator, capsys):
    call_command("api_key", "create", "otto", "--name", "Script")
    key = check_bearer(capsys.readouterr().out.strip())
    assert (key.scopes, key.environments, key.networks) == (list(SCOPES), None, [])


def test_keys_from_before_scopes_go_on_as_they_were(operator):
    migration = import_module("accounts.migrations.0003_key_scopes")
    make_key(operator, name="Before", scopes=[])
    make_key(operator, name="Bounded", scopes=["view_environment"])
    migration.give_every_scope(apps, None)
    later = {"report_tests"}
    assert APIKey.objects.get(name="Before").scopes == [scope for scope in SCOPES if scope not in later]
    assert APIKey.objects.get(name="Bounded").scopes == ["view_environment"]
