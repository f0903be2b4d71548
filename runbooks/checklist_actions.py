"""Use cases of a checklist's run: begin, assign, tick, take back, confirm, complete.

One person at a time has a list: whoever begins it, ticks first, takes it over, or is given it. The second person of an
item for two needs not have it. What changes the texts of lists is in ``checklist_versions.py``.
"""

from __future__ import annotations

import math
import re
from typing import Any

from django.db import DatabaseError, connection, transaction
from django.utils import timezone

import runbooks.audit  # noqa: F401  registers the action names
from accounts.domain import InvalidRequest, NotFound
from accounts.roles import CHECKLISTS
from accounts.use_case import use_case
from audit.actions import record
from audit.actors import Actor
from environments import evidence
from environments.evidence import Evidence, Reading, Verdict
from environments.models import Environment
from environments.permissions import allowed, require
from runbooks import checklist_alerts, checklist_events, checklist_queries
from runbooks.checklist_format import Item
from runbooks.checklist_versions import load_folder, retire, save_version
from runbooks.errors import ChecklistIncomplete, NotInControl, OwnTick, RunChanged, RunClosed
from runbooks.models import Checklist, ChecklistRun, Tick

__all__ = [
    "assign",
    "begin",
    "begin_deployment_list",
    "check",
    "complete",
    "load_folder",
    "retire",
    "save_version",
    "tick",
    "untick",
]
NOTE_LIMIT = 2000
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,58}")
_NUMBER = re.compile(r"[+-]?\d{1,15}(?:\.\d{1,9})?")
AGAINST = (Verdict.FAIL, Verdict.NO_DATA)
"""What evidence says against an expected response."""


@use_case
def begin(actor: Actor, run: ChecklistRun) -> ChecklistRun:
    """Begin a run, or go on with it: who begins it has it. Harmless to repeat.

    Raises:
        Forbidden: the actor may not tick checklists there.
        RunClosed: it is complete or missed.
        NotInControl: somebody else has it; ``assign`` takes it over.
    """
    locked = _controlled(actor, run)
    locked.save(update_fields=["assigned_to", "started_at"])
    checklist_events.publish([locked])
    return locked


@use_case
def assign(actor: Actor, run: ChecklistRun, to: Any = None) -> ChecklistRun:
    """Give a run to somebody, without ``to`` to oneself (take over). Who has it already keeps it.

    Raises:
        Forbidden: the actor may not tick checklists there.
        InvalidRequest: the other person may not.
        RunClosed: it is complete or missed.
    """
    require(actor, CHECKLISTS, run.environment)
    locked = _lock(run)
    to = to or actor.user
    if to is None or not allowed(Actor(to.display_name, "session", to, to.role), CHECKLISTS, run.environment):
        name = to.display_name if to else actor.name
        raise InvalidRequest("to", f"{name} may not tick checklists in {run.environment}; choose somebody else.")
    if locked.assigned_to_id == to.pk:
        return locked
    before, locked.assigned_to = locked.assigned_to, to
    locked.save(update_fields=["assigned_to"])
    kept: dict[str, Any] = {
        "before": {"assigned_to": before.display_name if before else ""},
        "after": {"assigned_to": to.display_name},
    }
    _record(actor, "checklist.assigned", locked, **kept)
    return locked


def tick(actor: Actor, run: ChecklistRun, item: str, response: str, note: str = "") -> Tick:
    """Answer an item. Its evidence is read now and kept with the answer.

    A response other than the expected one, and an expected one that the evidence speaks against (fail, no data), is a
    deviation and needs a note.

    Args:
        item: its id in the run's version.
        response: one of its responses; for a value the number.

    Raises:
        Forbidden: the actor may not tick checklists there.
        InvalidRequest: there is no such item or response, or the note is missing; nothing was done.
        RunClosed: the run is complete or missed.
        RunChanged: the item has an answer already.
        NotInControl: somebody else has the list; ``assign`` takes it over.
    """
    said = checklist_queries.definition(run.version)
    found = _item(run, item)
    answer, is_expected = _answer(found, response)
    note = _note(note)
    # Before the transaction, and so before the lock: what is asked outside may take its time.
    seen = None
    if found.evidence and allowed(actor, CHECKLISTS, run.environment):
        seen = read_evidence(found.evidence, checklist_queries.subject_of(run, said))
    return _tick(actor, run, found, (answer, is_expected), note, seen)


@use_case
def _tick(
    actor: Actor, run: ChecklistRun, item: Item, answer: tuple[str, bool], note: str, seen: Evidence | None
) -> Tick:
    locked = _controlled(actor, run)
    earlier = locked.ticks.filter(item=item.id, unticked_at=None).select_related("ticked_by").first()
    if earlier is not None:
        who = f"{earlier.ticked_by.display_name} answered “{item.challenge}” with “{earlier.response}”"
        raise RunChanged(f"{who} at {earlier.ticked_at:%H:%M:%S} UTC. Nothing was done; take that back first.")
    response, is_expected = answer
    against = seen if seen is not None and seen.reading.verdict in AGAINST else None
    is_deviation = not is_expected or against is not None
    if is_deviation and not note:
        raise InvalidRequest("note", _note_wanted(item, is_expected, against))
    now = locked.touched_at = timezone.now()
    made = Tick.objects.create(
        run=locked,
        item=item.id,
        response=response,
        is_deviation=is_deviation,
        note=note,
        evidence=_plain(seen.as_json()) if seen else {},
        ticked_by=actor.user,
        ticked_at=now,
    )
    locked.save(update_fields=["assigned_to", "started_at", "touched_at"])
    after = {"item": item.id, "response": response, "expected": item.expected, "evidence": made.evidence}
    _record(actor, "checklist.deviated" if is_deviation else "checklist.ticked", locked, reason=note, after=after)
    return made


@use_case
def untick(actor: Actor, run: ChecklistRun, item: str) -> Tick:
    """Take an answer back. It stays with who gave it and who took it back.

    Raises:
        Forbidden, InvalidRequest, RunClosed, NotInControl: as ``tick``.
        RunChanged: the item has no answer.
    """
    locked = _controlled(actor, run)
    found = _item(locked, item)
    made = _standing(locked, found)
    made.unticked_by, made.unticked_at = actor.user, timezone.now()
    made.save(update_fields=["unticked_by", "unticked_at"])
    locked.touched_at = made.unticked_at
    locked.save(update_fields=["assigned_to", "started_at", "touched_at"])
    before = {"item": found.id, "response": made.response, "ticked_by": made.ticked_by.display_name}
    _record(actor, "checklist.unticked", locked, before=before)
    return made


@use_case
def check(actor: Actor, run: ChecklistRun, item: str) -> Tick:
    """Confirm an answer to an item for two, as another person than who gave it; no matter who has the list.

    Raises:
        Forbidden: the actor may not tick checklists there.
        OwnTick: the actor gave the answer.
        InvalidRequest: there is no such item, or it is none for two.
        RunClosed: the run is complete or missed.
        RunChanged: the item has no answer, or somebody confirmed it already.
    """
    require(actor, CHECKLISTS, run.environment)
    locked = _lock(run)
    found = _item(locked, item)
    if not found.two_person:
        raise InvalidRequest("item", f"“{found.challenge}” needs no second person. Nothing was done.")
    made = _standing(locked, found)
    if made.checked_by is not None:
        raise RunChanged(f"{made.checked_by.display_name} confirmed “{found.challenge}” already. Nothing was done.")
    if actor.user is None or made.ticked_by_id == actor.user.pk:
        raise OwnTick(actor, CHECKLISTS, run.environment.name, found.challenge)
    made.checked_by, made.checked_at = actor.user, timezone.now()
    made.save(update_fields=["checked_by", "checked_at"])
    locked.touched_at = made.checked_at
    locked.save(update_fields=["touched_at"])
    after = {"item": found.id, "response": made.response, "ticked_by": made.ticked_by.display_name}
    _record(actor, "checklist.checked", locked, after=after)
    return made


@use_case
def complete(actor: Actor, run: ChecklistRun, *, seen_deviations: int | None = None) -> ChecklistRun:
    """The last item of every list: “Checklist complete”, with the deviations that stay open.

    Args:
        seen_deviations: how many the person was shown; None when that does not matter.

    Raises:
        Forbidden, RunClosed, NotInControl: as ``tick``.
        ChecklistIncomplete: items are open; the message names them.
        RunChanged: there are more or fewer deviations than were shown.
    """
    locked = _controlled(actor, run)
    view = checklist_queries.view(locked)
    if view.open_items:
        names = [f"{one.number} {one.item.challenge}" for one in view.open_items]
        waits = "; an item for two also needs its second person" if any(o.tick for o in view.open_items) else ""
        still = f"{len(names)} item{'s are' if len(names) > 1 else ' is'} open: {', '.join(names)}"
        raise ChecklistIncomplete(f"{still}{waits}. Nothing was done.", [one.item.id for one in view.open_items])
    if seen_deviations is not None and seen_deviations != view.deviations:
        raise RunChanged(f"It has {view.deviations} deviations now, not {seen_deviations}. Look at it again.")
    locked.status, locked.deviations = ChecklistRun.Status.COMPLETE, view.deviations
    locked.completed_at, locked.completed_by = timezone.now(), actor.user
    locked.touched_at = locked.completed_at
    locked.save()
    open_ones = [
        {"item": one.item.id, "challenge": one.item.challenge, "response": one.tick.response, "note": one.tick.note}
        for one in view.deviating
        if one.tick is not None
    ]
    late = int(checklist_queries.lateness(locked).total_seconds())
    _record(actor, "checklist.completed", locked, after={"deviations": open_ones, "late_seconds": late})
    checklist_alerts.clear_of(locked)
    return locked


@use_case
def begin_deployment_list(actor: Actor, environment: Environment, version: str, slug: str = "") -> ChecklistRun:
    """The run of the deployment list for a release and an environment; it is begun when there is none yet.

    Args:
        version: of the release; whoever calls knows that there is one.
        slug: which list, when the environment has several for deployments.

    Raises:
        Forbidden: the actor may not tick checklists there.
        NotFound: the environment has no list for deployments.
        InvalidRequest: the version is none; or there are several lists, and none was named.
    """
    require(actor, CHECKLISTS, environment)
    if not _VERSION.fullmatch(version):
        raise InvalidRequest("release", "Write the version of a release, for example v1.2.5.")
    found = _deployment_list(environment, slug)
    now = timezone.now()
    begun = {"opens_at": now, "started_at": now, "assigned_to": actor.user, "version": found.current}
    run, is_new = ChecklistRun.objects.select_related("environment", "version", "checklist").get_or_create(
        checklist=found, environment=environment, period=version, defaults=begun
    )
    if is_new:
        _record(actor, "checklist.opened", run, after=described(run))
    return run


def described(run: ChecklistRun) -> dict[str, Any]:
    """Which occurrence it is, for the audit trail."""
    version = run.version.number
    moments = {"opens_at": run.opens_at, "due_at": run.due_at, "closes_at": run.closes_at}
    kept = {name: at.isoformat() if at else None for name, at in moments.items()}
    return {"checklist": run.checklist.slug, "period": run.period, "version": version, **kept}


def read_evidence(name: str, subject: evidence.Subject) -> Evidence:
    """Read a provider; what breaks, also a query within a transaction, is "no data" with the reason."""
    if name not in evidence.providers():
        return _unread(name, "Nothing offers this reading any more.")
    if not connection.in_atomic_block:
        return evidence.read(name, subject)
    try:
        with transaction.atomic():
            return evidence.read(name, subject)
    except DatabaseError as error:
        return _unread(evidence.providers()[name].title, f"Could not be read: {type(error).__name__}")


def _unread(name: str, why: str) -> Evidence:
    return Evidence(name, name, Reading(why, Verdict.NO_DATA), timezone.now())


def _controlled(actor: Actor, run: ChecklistRun) -> ChecklistRun:
    """The locked run, if the actor may work on it and has it, or nobody does."""
    require(actor, CHECKLISTS, run.environment)
    locked = _lock(run)
    if actor.user is None:
        raise InvalidRequest("actor", "A checklist is done by a person.")
    if locked.assigned_to_id is None:
        locked.assigned_to = actor.user
    if locked.assigned_to is not None and locked.assigned_to_id != actor.user.pk:
        has = f"{locked.assigned_to.display_name} has this list"
        raise NotInControl(f"{has}. Nothing was done; take it over first, or ask {locked.assigned_to.display_name}.")
    locked.started_at = locked.started_at or timezone.now()
    return locked


def _lock(run: ChecklistRun) -> ChecklistRun:
    # First the lock, then the reading: a row that is joined to a locked one may be as old as the wait for the lock.
    ChecklistRun.objects.select_for_update().values_list("pk").get(pk=run.pk)
    related = ("environment", "version", "checklist", "assigned_to")
    locked: ChecklistRun = ChecklistRun.objects.select_related(*related).get(pk=run.pk)
    if locked.status == ChecklistRun.Status.COMPLETE:
        raise RunClosed(f"It was completed at {locked.completed_at:%Y-%m-%d %H:%M:%S} UTC. Nothing was done.")
    if locked.status == ChecklistRun.Status.MISSED or (locked.closes_at and locked.closes_at <= timezone.now()):
        raise RunClosed(f"It closed at {locked.closes_at:%Y-%m-%d %H:%M} UTC and counts as missed. Nothing was done.")
    return locked


def _standing(run: ChecklistRun, item: Item) -> Tick:
    found = run.ticks.filter(item=item.id, unticked_at=None).select_related("ticked_by", "checked_by").first()
    if found is None:
        raise RunChanged(f"“{item.challenge}” has no answer now. Nothing was done.")
    return found


def _item(run: ChecklistRun, name: str) -> Item:
    said = checklist_queries.definition(run.version)
    found = said.item(name)
    if found is None:
        known = ", ".join(item.id for item in said.items)
        raise InvalidRequest("item", f"There is no item “{name[:60]}”. There are: {known}.")
    return found


def _answer(item: Item, response: str) -> tuple[str, bool]:
    """The answer as it is kept, and whether it is the expected one."""
    given = response.strip()
    if item.value is None:
        if given not in item.responses:
            known = ", ".join(f"“{one}”" for one in item.responses)
            raise InvalidRequest("response", f"{item.challenge}: answer with one of {known}.")
        return given, given == item.expect
    number = float(given) if _NUMBER.fullmatch(given) else math.nan
    if math.isnan(number):
        raise InvalidRequest("response", f"{item.challenge}: write a number, expected is {item.expected}.")
    unit = f" {item.value.unit}" if item.value.unit else ""
    return f"{given}{unit}", item.value.covers(number)


def _note_wanted(item: Item, is_expected: bool, against: Evidence | None) -> str:
    why = f"the expected response is “{item.expected}”"
    if is_expected and against is not None:
        says = "could not say" if against.reading.verdict == Verdict.NO_DATA else "says"
        why = f"{against.title} {says}: {against.reading.value}"
    return f"{item.challenge}: {why}. Write in the note what is the matter and what is done about it."


def _note(note: str) -> str:
    text = (note or "").replace("\x00", "").strip()
    if len(text) > NOTE_LIMIT:
        raise InvalidRequest("note", f"The note has {len(text)} characters; at most {NOTE_LIMIT} are kept.")
    return text


def _plain(value: Any) -> Any:
    """Without what Postgres keeps in no text."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return value.replace("\x00", "") if isinstance(value, str) else value


def _deployment_list(environment: Environment, slug: str) -> Checklist:
    lists = Checklist.objects.filter(service=environment.service_id, retired_at=None, current__isnull=False)
    found = [
        one
        for one in lists.select_related("current")
        if one.current is not None
        and slug in ("", one.slug)
        and (said := checklist_queries.definition(one.current)).is_for_deployments
        and said.covers(environment.name, environment.kind)
    ]
    if not found:
        named = f" {slug[:60]!r}" if slug else ""
        raise NotFound(f"{environment} has no checklist{named} for deployments. Nothing was done.")
    if len(found) > 1:
        names = ", ".join(one.slug for one in found)
        raise InvalidRequest("checklist", f"{environment} has several checklists for deployments: {names}. Name one.")
    return found[0]


def _record(actor: Actor, action: str, run: ChecklistRun, **more: Any) -> None:
    """Record it, and tell the pages once it is committed."""
    record(actor, action, run, environment=run.environment.name, **more)
    checklist_events.publish([run])
