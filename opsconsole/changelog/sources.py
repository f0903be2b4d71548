"""Where the entries of the change log come from, and how each is put into words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from django.db.models import DurationField, F, Q, QuerySet, Value
from django.db.models.functions import Coalesce

from alerts.models import Alert
from alerts.words import kind as kind_of_alert
from audit import registry
from audit.models import Outcome, Record
from audit.pages import changes
from audit.queries import Reader
from deployments import words
from deployments.models import Deployment
from deployments.states import Status
from opsconsole import formats
from opsconsole.changelog.entries import Entry, Kind, Place
from opsconsole.changelog.filters import Wanted
from trading import breaker_words
from trading.models import BreakerTrip, EmergencyStop

CONFIGURATION = (
    "system.applied",
    "checklist.loaded",
    "checklist.edited",
    "checklist.retired",
    "user.created",
    "user.role_changed",
    "user.deactivated",
    "user.reactivated",
    "user.second_factor_removed",
    "api_key.created",
    "api_key.rotated",
    "api_key.revoked",
    "ssh_key.added",
    "ssh_key.removed",
    "audit.protected",
    "audit.opened",
)
"""Acts that change how the console or what it operates is set up."""
CONFIGURATION_OF = ("environment.", "configuration.")
"""Every act on these as well."""
INCIDENTS = ("database.restore", "database.finished", "audit.chain_wrong", "audit.chain_right")
"""Incidents that have no table of their own; of work on a database only restores."""
TOLD_ELSEWHERE = ("stop", "breaker")
"""Kinds of alerts whose cause is an entry itself."""
SHOWN_CHANGES = 4
FAILED = (Status.FAILED, Status.FAILING, Status.ROLLED_BACK)
_HEAVY = (
    *("policy_data", "baseline", "from_release__notes", "to_release__notes"),
    *("reverted_by__policy_data", "reverted_by__baseline"),
    *(f"environment__{field}" for field in ("policy_data", "router", "driver", "exchange", "database")),
)
_STOP_STATES = {"FLAT": "flat", "NOT_FLAT": "not_flat", "UNCONFIRMED": "unconfirmed", "": "ended"}


class Cut(Protocol):
    """Restricts rows to the asked time range and place, newest first, at most a page of them."""

    def __call__(self, rows: QuerySet[Any], time: str, order: tuple[Any, ...] = ()) -> QuerySet[Any]:
        """``time``: the field to order by; ``order``: expressions to order by instead."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a source is asked for."""

    source: int
    where: tuple[str, ...]
    """Names of the environments that the person sees and asks for."""
    reader: Reader
    wanted: Wanted
    cut: Cut


def deployments(asked: Asked) -> list[Entry]:
    """Every deployment and rollback that began, from its start; requests that were never approved are none."""
    rows = Deployment.objects.begun().filter(environment__name__in=asked.where)
    rows = rows.annotate(began=Coalesce("started_at", "created_at"))
    if asked.wanted.kind == Kind.INCIDENT:
        rows = rows.filter(status__in=FAILED)
    if asked.wanted.kind == Kind.CONFIGURATION:
        rows = rows.filter(promoted_at__isnull=False).exclude(to_release__config_revision="")
        rows = rows.exclude(from_release=None).exclude(from_release__config_revision=F("to_release__config_revision"))
    rows = rows.select_related("environment", "from_release", "to_release", "reverted_by").defer(*_HEAVY)
    return [_deployment(asked.source, row) for row in asked.cut(rows, "began")]


def _deployment(source: int, row: Any) -> Entry:
    kinds = [Kind.DEPLOYMENT]
    if row.status in FAILED:
        kinds.append(Kind.INCIDENT)
    if _changes_configuration(row):
        kinds.append(Kind.CONFIGURATION)
    version = row.to_release.version
    what = f"Rollback of deployment {row.reverts_id}" if row.is_rollback else "Deployment"
    return Entry(
        Place(row.began, source, str(row.pk)),
        tuple(kinds),
        f"{what}: {words.versions(row)}",
        ("deployment", row.status),
        row.requested_by_name,
        row.environment.name,
        tuple(_about(row)),
        ((f"Deployment {row.pk}", f"/deployments/{row.pk}/"), (f"Notes of {version}", f"/releases/{version}/")),
        row.finished_at or row.promoted_at,
    )


def _changes_configuration(row: Deployment) -> bool:
    old, new = row.from_release, row.to_release
    return bool(row.promoted_at and old and new.config_revision and old.config_revision != new.config_revision)


def _about(row: Deployment) -> Iterator[str]:
    if row.status in (*FAILED, Status.ABORTED):
        came = words.result(row, ())
        yield _sentence(came.title)
        yield came.detail
    yield _sentence(f"Asked for because: {row.reason}") if row.reason else ""
    if _changes_configuration(row):
        old = row.from_release.config_revision if row.from_release else ""
        yield f"Configuration revision: {old or 'none'} → {row.to_release.config_revision}."
    if row.overrides:
        named = ", ".join(str(one.get("title") or one.get("name") or one) for one in row.overrides)
        yield _sentence(f"Checks overridden: {named}. {row.override_reason}")


def stops(asked: Asked) -> list[Entry]:
    """Presses of the kill switch, drills too."""
    rows = EmergencyStop.objects.filter(environment__name__in=asked.where).select_related("environment")
    return [_stop(asked.source, row) for row in asked.cut(rows.defer("journal", "remaining"), "pressed_at")]


def _stop(source: int, row: Any) -> Entry:
    state = "stopping" if row.finished_at is None else _STOP_STATES.get(row.outcome, "ended")
    released = f"Released {formats.utc_full(row.released_at)} by {row.released_by}." if row.released_at else ""
    return Entry(
        Place(row.pressed_at, source, str(row.pk)),
        (Kind.INCIDENT,),
        "Kill switch drill" if row.drill else "Emergency stop: kill switch engaged",
        ("stop", state),
        row.actor_name,
        row.environment.name,
        (_sentence(row.reason or "No reason was stated yet"), released),
        (("Emergency stop", f"/kill-switch/stops/{row.pk}/"),),
        row.released_at or row.finished_at,
    )


def trips(asked: Asked) -> list[Entry]:
    """Circuit breakers that opened."""
    rows = BreakerTrip.objects.filter(environment__name__in=asked.where)
    rows = rows.select_related("environment", "tripped_by", "reset_by").defer("answers")
    return [_trip(asked.source, row) for row in asked.cut(rows, "tripped_at")]


def _trip(source: int, row: Any) -> Entry:
    reset = ""
    if row.reset_at:
        by = f" by {row.reset_by.display_name}" if row.reset_by else ""
        reset = _sentence(f"Reset {formats.utc_full(row.reset_at)}{by}: {row.reset_reason}")
    return Entry(
        Place(row.tripped_at, source, str(row.pk)),
        (Kind.INCIDENT,),
        f"Circuit breaker of {row.instance_name}: {breaker_words.title(row.reason_code)}",
        ("breaker", "open" if row.is_open else "reset"),
        row.tripped_by.display_name if row.tripped_by else "trading system",
        row.environment.name,
        (_sentence(row.reason), reset),
        (("Breaker", f"/breakers/{row.pk}/"),),
        row.reset_at,
    )


def alerts(asked: Asked) -> list[Entry]:
    """Critical alerts, and every difference of positions, each from its first sight to its end."""
    places = Q(environment__name__in=asked.where)
    if asked.where and not asked.wanted.environment:
        places |= Q(environment=None)
    rows = Alert.objects.filter(places).filter(Q(severity=Alert.Severity.CRITICAL) | Q(kind="mismatch"))
    rows = rows.exclude(kind__in=TOLD_ELSEWHERE).select_related("environment", "acknowledged_by")
    return [_alert(asked.source, row) for row in asked.cut(rows, "raised_at")]


def _alert(source: int, row: Any) -> Entry:
    over = f"Over since {formats.utc_full(row.cleared_at)}." if row.cleared_at else ""
    known = ""
    if row.acknowledged_at:
        who = row.acknowledged_by.display_name if row.acknowledged_by else "somebody"
        known = _sentence(f"Acknowledged by {who}{f': {row.note}' if row.note else ''}")
    return Entry(
        Place(row.raised_at, source, str(row.pk)),
        (Kind.INCIDENT,),
        f"{kind_of_alert(row.kind)}: {row.title}",
        ("alert_state", row.state),
        "",
        row.environment.name if row.environment else "",
        (_sentence(row.detail), over, known),
        (("Alert", f"/alerts/{row.pk}/"),),
        max(filter(None, (row.cleared_at, row.acknowledged_at, row.raised_at))),
    )


def records(asked: Asked) -> list[Entry]:
    """What only the audit trail tells: changes of the configuration, restores, a chain that is wrong."""
    rows = Record.objects.filter(_readable(asked), action__in=actions(asked.wanted.kind)).exclude(outcome="denied")
    # Of work on a database only what concerns a restore; the others are daily business.
    rows = rows.exclude(Q(action="database.finished") & ~Q(after__kind="restore"))
    # Collected by audit_facets and then sorted: in order of time, rare acts would take a walk over the whole trail.
    moment = F("at") + Value(timedelta(0), DurationField())
    return [_record(asked.source, row) for row in asked.cut(rows, "at", (moment.desc(),))]


def actions(kind: str = "") -> list[str]:
    """The audited acts that are entries of a kind, or of any."""
    changing = [name for name in registry.actions() if name in CONFIGURATION or name.startswith(CONFIGURATION_OF)]
    chosen = {Kind.CONFIGURATION: changing, Kind.INCIDENT: [*INCIDENTS]}
    return [name for one, names in chosen.items() if not kind or kind == one for name in names]


def _readable(asked: Asked) -> Q:
    reader, named = asked.reader, bool(asked.wanted.environment)
    nowhere = () if reader.places is not None or named else ("",)
    readable = Q(environment__in=(*asked.where, *nowhere))
    if reader.own is None or named:
        return readable
    return readable | Q(actor_id=reader.own) & ~Q(environment__in=reader.places or ())


def _record(source: int, row: Any) -> Entry:
    is_incident = row.action in INCIDENTS
    name = "" if is_incident and row.action.startswith("database.") else row.object_name
    return Entry(
        Place(row.at, source, str(row.pk)),
        (Kind.INCIDENT if is_incident else Kind.CONFIGURATION,),
        _TITLES.get(row.action, row.label) + (f": {name}" if name else ""),
        ("outcome", row.outcome) if row.outcome != Outcome.DONE or is_incident else ("", ""),
        row.actor_name,
        row.environment,
        (_sentence(row.reason), *_changed(row)),
        (("Audit record", f"/audit/{row.pk}/"),),
    )


_TITLES = {
    "database.restore": "Restore of the database begun",
    "database.finished": "Restore of the database ended",
}


def _changed(row: Record) -> Iterator[str]:
    """What an act changed: ``role: Operator → Admin.``"""
    told = [one for one in changes(row) if one.kind == "changed"]
    for one in told[:SHOWN_CHANGES]:
        yield f"{one.name}: {_short(one.before)} → {_short(one.after)}."
    if len(told) > SHOWN_CHANGES:
        yield f"{len(told) - SHOWN_CHANGES} more values changed."


def _short(value: Any) -> str:
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    text = "none" if value in (None, "") else str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _sentence(text: str) -> str:
    """With a full stop at its end; empty for an empty text."""
    text = text.strip().rstrip(":").strip()
    return text if not text or text.endswith((".", "!", "?", "…")) else f"{text}."
