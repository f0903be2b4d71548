"""The objects that the addresses of ``matrix.yaml`` name: what ``production``, ``own`` or ``missing`` is at each.

An address with a new kind of object gets a function here, marked with the beginning of its route::

    @of("approvals/", "api/v1/approvals/")
    def approval(world, route, thing, user):
        return {"pk": …}, {"reason": "Because"}

It makes the object and returns the parameters of the address and the body of a POST. ``user`` is who asks (an Admin for
somebody who is not signed in): ``own`` is theirs, ``others`` is somebody else's. Everything it makes is taken back.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from django.contrib.sessions.backends.db import SessionStore
from django.db import transaction
from django.utils import timezone

from audit.actions import record
from audit.actors import Actor
from tests.accounts.factors import make_key
from tests.cast import make_person

Values = dict[str, Any]
Maker = Callable[[Any, str, str, Any], tuple[Values, Values]]
MISSING = 999_999
STATUS_FOR = {"resume": "held", "rollback": "watching"}
_makers: list[tuple[str, Maker]] = []


def of(*beginnings: str) -> Callable[[Maker], Maker]:
    """Register what makes the objects of the routes that begin so; the longest beginning wins."""

    def marked(maker: Maker) -> Maker:
        _makers.extend((beginning, maker) for beginning in beginnings)
        return maker

    return marked


def make(world: Any, route: str, thing: str, user: Any) -> tuple[Values, Values]:
    """Parameters and body for a route, from the maker whose beginning fits best."""
    fitting = [(len(beginning), maker) for beginning, maker in _makers if route.startswith(beginning)]
    if not fitting:
        return {"name": thing, "token": "1:used:link"}, {"reason": "Because"}
    return max(fitting, key=lambda found: found[0])[1](world, route, thing, user)


@of("docs/")
def document(world: Any, route: str, thing: str, user: Any) -> tuple[Values, Values]:
    """A document or a picture of the checkout."""
    return {"name": thing if thing == "missing" else "statuses.svg" if "pictures" in route else "architecture"}, {}


@of("deployments/", "api/v1/deployments/")
def deployment(world: Any, route: str, thing: str, user: Any) -> tuple[Values, Values]:
    """A deployment to an environment, in a state that permits the act at the end of the route."""
    act = route.rstrip("/").rpartition("/")[2]
    act = "hold" if act == "<name>" else act
    body = {"reason": "Because"}
    if "<pk>" not in route:
        world.release("v1.2.5")
        return {}, {**body, "environment": thing, "release": "v1.2.5", "strategy": "blue_green"}
    if thing not in world.environments:
        return {"name": act, "pk": MISSING}, body
    made = make_deployment(STATUS_FOR.get(act, "running"), world.environments[thing], world.release, world.admin)
    return {"name": act, "pk": made.pk}, body


@of("rollback-reports/", "api/v1/rollback-reports/")
def rollback_report(world: Any, route: str, thing: str, user: Any) -> tuple[Values, Values]:
    """The report of a rollback that has ended: owed, or complete where it is to be reopened."""
    from deployments.models import Deployment, RollbackReport

    texts = dict.fromkeys(("what_failed", "why_rollback", "prevention"), "Because")
    body: Values = {"reason": "Because"} if "reopen" in route else {"revision": 0, **texts}
    if thing not in world.environments:
        return {"pk": MISSING}, body
    failed = make_deployment("rolled_back", world.environments[thing], world.release, world.admin)
    moved = {"status": "succeeded", "reverts": failed, "from_release": failed.to_release}
    rollback = make_deployment("succeeded", world.environments[thing], world.release, world.admin)
    Deployment.objects.filter(pk=rollback.pk).update(**moved)
    made = RollbackReport.objects.create(rollback=rollback)
    if "reopen" in route:
        RollbackReport.objects.filter(pk=made.pk).update(completed_at=timezone.now(), completed_by=world.admin)
    return {"pk": made.pk}, body


@of("releases/", "api/v1/releases/")
def release(world: Any, route: str, thing: str, user: Any) -> tuple[Values, Values]:
    """A release; where it is registered, its archive is there and it is not."""
    made = world.release("v1.2.5")
    if "<version>" not in route:
        made.delete()
    version = "v9.9.9" if thing == "missing" else "v1.2.5"
    return {"version": version}, {"version": "v1.2.5", "artifact": made.artifact, "digest": made.digest}


@of("api/v1/evidence/")
def evidence(world: Any, route: str, thing: str, user: Any) -> tuple[Values, Values]:
    """A reading about an environment, which the query names."""
    return {"name": "alerts.open", "query": {"environment": thing}}, {}


@of("audit/", "api/v1/audit/")
def audit_record(world: Any, route: str, thing: str, user: Any) -> tuple[Values, Values]:
    """A record of something that happened in an environment."""
    if thing not in world.environments:
        return {"pk": MISSING}, {}
    actor = Actor(name=world.admin.display_name, via="session", user=world.admin, role="Admin")
    with transaction.atomic():
        return {"pk": record(actor, "traffic.shift", environment=thing).pk}, {}


@of("account/security/passkeys/<pk>/")
def passkey(world: Any, route: str, thing: str, user: Any) -> tuple[Values, Values]:
    """A passkey of who asks, or of somebody else; the body brings neither a name nor a proof."""
    owner = {"own": user, "others": _somebody_else(world, user)}.get(thing)
    if owner is None:
        return {"pk": MISSING}, {}
    made = owner.passkeys.create(name="Key", credential_id=f"matrix-{owner.pk:09}", public_key=b"key")
    return {"pk": made.pk}, {"reason": "Because"}


@of("account/sessions/<pk>/")
def session(world: Any, route: str, thing: str, user: Any) -> tuple[Values, Values]:
    """Another open session of who asks, or one of somebody else."""
    owner = {"own": user, "others": _somebody_else(world, user)}.get(thing)
    if owner is None:
        return {"pk": MISSING}, {}
    store = SessionStore()
    store.create()
    return {"pk": owner.open_sessions.create(session_key=store.session_key).pk}, {}


@of("api/v1/keys/", "account/keys/")
def api_key(world: Any, route: str, thing: str, user: Any) -> tuple[Values, Values]:
    """An API key of who asks, or of somebody else; the body makes, rotates or revokes one."""
    body: Values = {"reason": "Because"}
    if "rotate" in route:
        body = {"overlap_hours": 1}
    elif "<prefix>" not in route:
        body = {"name": "Made", "scopes": ["run_checklists"], "days": 5}
    owner = {"own": user, "others": _somebody_else(world, user)}.get(thing)
    if owner is None:
        return {"prefix": "nonsense"}, body
    return {"prefix": make_key(owner, scopes=["run_checklists"]).split("_")[1]}, body


@of("account/ssh-keys/")
def ssh_key(world: Any, route: str, thing: str, user: Any) -> tuple[Values, Values]:
    """An SSH key of who asks, or of somebody else; the body brings no key."""
    owner = {"own": user, "others": _somebody_else(world, user)}.get(thing)
    if owner is None:
        return {"pk": MISSING}, {}
    return {"pk": owner.ssh_keys.create(name="Key", public_key="x", fingerprint=f"SHA256:{owner.pk}").pk}, {}


@of("api/v1/login/")
def ssh_sign_in(world: Any, route: str, thing: str, user: Any) -> tuple[Values, Values]:
    """A question for a key that nobody enrolled; an answer to no question."""
    if "challenge" in route:
        return {}, {"fingerprint": "SHA256:" + "A" * 43}
    return {}, {"challenge": "00000000-0000-4000-8000-000000000000", "signature": "none"}


@of("approvals/", "api/v1/approvals/")
def approval(world: Any, route: str, thing: str, user: Any) -> tuple[Values, Values]:
    """A request that waits, for production: of who asks, or of somebody else."""
    from deployments import approval_actions, starting

    owner = {"own": user, "others": _somebody_else(world, user)}.get(thing)
    if owner is None:
        return {"pk": MISSING, "name": "approve"}, {"reason": "Because"}
    actor = Actor(name=owner.display_name, via="session", user=owner, role=owner.role)
    with transaction.atomic():
        place = starting.lock(world.environments["production"])
        made = approval_actions.request(actor, place, world.release("v1.2.5"), "blue_green", "Because").approval
    seen = {"subject_hash": made.subject_hash} if "withdraw" not in route and "reject" not in route else {}
    return {"pk": made.pk, "name": "approve"}, {"reason": "Because", **seen}


@of("kill-switch/", "api/v1/emergency-stops/", "api/v1/environments/<name>/emergency-stop/", "admin/emergency-stop")
def emergency_stop(world: Any, route: str, thing: str, user: Any) -> tuple[Values, Values]:
    """An environment without an exchange, and a stop pressed there a moment ago; outside of production a drill."""
    from trading.models import EmergencyStop

    body: Values = {"reason": "Because"} | ({"environment": thing} if route.startswith("admin/") else {})
    body |= {"confirm": "STOP"} if route.startswith("kill-switch/") else {}
    if thing not in world.environments:
        return {"name": "not-there", "pk": uuid.uuid4()}, body
    place = world.environments[thing]
    type(place).objects.filter(pk=place.pk).update(exchange={})
    made = EmergencyStop.objects.create(
        environment=place, drill=thing == "staging", actor_name="Otto", via="page", pressed_at=timezone.now()
    )
    return {"name": thing, "pk": made.pk}, body


@of(
    "positions/<name>/",
    "orders/<name>/",
    "api/v1/environments/<name>/positions/",
    "api/v1/environments/<name>/orders/",
    "api/v1/environments/<name>/reconciliation/",
)
def by_hand(world: Any, route: str, thing: str, user: Any) -> tuple[Values, Values]:
    """A position or an order of an environment without an exchange; the body takes over, or acts at the exchange."""
    body: Values = {"reason": "Because"} | ({"symbols": "all"} if "reconciliation" in route else {"via": "exchange"})
    if thing in world.environments:
        place = world.environments[thing]
        type(place).objects.filter(pk=place.pk).update(exchange={})
    return {"name": thing if thing in world.environments else "not-there", "symbol": "BTC"}, body


@of("alerts/", "api/v1/alerts/")
def alert(world: Any, route: str, thing: str, user: Any) -> tuple[Values, Values]:
    """An alert of an environment, or of none; the body of the form for many says when its page was drawn."""
    from alerts.actions import raise_alert

    body: Values = {"note": "I look"} | ({} if "<pk>" in route else {"drawn_at": timezone.now().isoformat(), "upto": 9})
    if thing == "missing":
        return {"pk": MISSING}, body
    place = world.environments.get(thing)
    made = raise_alert("mismatch", f"{thing}:BTC", severity="warning", title="BTC differs", environment=place)
    return {"pk": made.pk}, body


@of("checklists/", "checklist-runs/")
def checklist_page(world: Any, route: str, thing: str, user: Any) -> tuple[Values, Values]:
    """A list of one environment and its open run; the body ticks its item, begins it for a release, or changes it."""
    from runbooks.checklist_versions import save_version
    from runbooks.models import ChecklistRun

    if thing not in world.environments:
        return {"slug": "not-there", "pk": MISSING, "name": "tick"}, {"environment": "not-there", "release": "v1.2.5"}
    every = "deployment" if "begin" in route else "day"
    groups = "[{title: All, items: [{id: look, challenge: Look, expect: Good, responses: [Good, Bad]}]}]"
    text = f"title: Look\nenvironments: [{thing}]\nschedule: {{every: {every}}}\ngroups: {groups}\n"
    actor = Actor(name=world.admin.display_name, via="session", user=world.admin, role="Admin")
    version = save_version(actor, world.system, "look", text, "First", based_on=0)
    place, now = world.environments[thing], timezone.now()
    run = ChecklistRun.objects.create(
        checklist=version.checklist, version=version, environment=place, period="2026-11-23", opens_at=now
    )
    body = {"item": "look", "response": "Good", "environment": thing, "release": "v1.2.5"}
    body |= {"text": text.replace("Look", "See"), "base": "1", "do": "save", "reason": "Because"}
    return {"slug": "look", "pk": run.pk, "name": "tick"}, body


@of("runbooks/", "runbook-runs/")
def runbook_page(world: Any, route: str, thing: str, user: Any) -> tuple[Values, Values]:
    """A runbook of the library and a run of it by somebody else, which the act takes over; the body begins one."""
    from runbooks.runbook_actions import start

    slug = "not-there" if thing == "missing" else "high-latency"
    values: Values = {"slug": slug, "pk": MISSING, "name": "take-over", "query": {"part": "running"}}
    if thing in world.environments and "<pk>" in route:
        person = make_person("rita", "Admin")
        actor = Actor(name=person.display_name, via="session", user=person, role="Admin")
        values["pk"] = start(actor, world.environments[thing], slug).pk
        values["query"] = {"part": "run"}
    return values, {"environment": thing}


@of("breakers/", "api/v1/breakers/", "api/v1/environments/<name>/circuit-breaker/")
def breaker_trip(world: Any, route: str, thing: str, user: Any) -> tuple[Values, Values]:
    """A trip whose questions are answered; the body answers them once more."""
    from trading import questions
    from trading.models import BreakerTrip

    keys = [one.key for one in questions.VALIDATION]
    given = {key: {"answer": "yes", "note": "Looked"} for key in keys}
    fields = {f"{name}-{key}": value for key, one in given.items() for name, value in one.items()}
    body: Values = {"answers": given} if "validate" in route else {"reason": "Because"}
    body = fields if route == "breakers/<pk>/validate/" else body
    if thing not in world.environments:
        return {"pk": MISSING, "name": "not-there"}, body
    now = timezone.now()
    made = BreakerTrip.objects.create(
        environment=world.environments[thing],
        instance_name=f"{thing}-blue-1",
        reason_code="daily_loss",
        tripped_at=now,
        answers=questions.check(
            questions.VALIDATION, {key: questions.Given("yes", "Looked") for key in keys}, {}, "Ada", now.isoformat()
        ).answers,
    )
    return {"pk": made.pk, "name": thing}, body


@of("kill-switch/stops/<pk>/release/")
def release_of_a_stop(world: Any, route: str, thing: str, user: Any) -> tuple[Values, Values]:
    """A stop, and a body that answers its questions but brings no proof."""
    from trading import questions

    values, body = emergency_stop(world, route, thing, user)
    for one in questions.RELEASE:
        body |= {f"answer-{one.key}": "yes", f"note-{one.key}": "Looked"}
    return values, body


@of("clearances/", "api/v1/clearances/")
def clearance(world: Any, route: str, thing: str, user: Any) -> tuple[Values, Values]:
    """A request for leave to trade in production: of who asks, or of somebody else. The body rejects or approves it."""
    from datetime import timedelta

    from trading import seen
    from trading.clearance_subject import subject_hash
    from trading.models import Clearance

    body: Values = {"reason": "Because"}
    if "<pk>" not in route:
        asked = {"environment": thing, "kind": "resume"} if route.startswith("api/") else {}
        return {"name": thing if thing in world.environments else "not-there"}, body | asked
    owner = {"own": user, "others": _somebody_else(world, user)}.get(thing)
    if owner is None:
        return {"pk": MISSING, "name": "reject"}, body
    facts = seen.look(world.environments["production"]).facts("resume")
    made = Clearance.objects.create(
        environment=world.environments["production"],
        kind="resume",
        facts=facts,
        subject=subject_hash(facts),
        reason="Because",
        requested_by=owner,
        expires_at=timezone.now() + timedelta(minutes=5),
    )
    return {"pk": made.pk, "name": "reject"}, body | ({"subject_hash": made.subject} if "approve" in route else {})


@of("databases/", "api/v1/environments/<name>/database-runs/", "api/v1/database-runs/")
def database_run(world: Any, route: str, thing: str, user: Any) -> tuple[Values, Values]:
    """An environment with a database that nobody looks at, and a backup of it; the body asks for another one."""
    from trading.models import DatabaseRun

    body: Values = {"reason": "Because"} | ({"kind": "backup"} if route.startswith("api/") else {})
    if thing not in world.environments:
        return {"name": "not-there", "pk": uuid.uuid4()}, body
    place = world.environments[thing]
    found = {"url": "env:NOWHERE", "schema_name": "book", "folder": "/nowhere", "keep": 20}
    type(place).objects.filter(pk=place.pk).update(database=found)
    now, kept = timezone.now(), {"actor_name": "Ada", "reason": "Because", "path": "/nowhere/x.dump", "size": 1}
    made = DatabaseRun.objects.create(
        environment=place, kind="backup", status="succeeded", started_at=now, finished_at=now, **kept
    )
    return {"name": thing, "pk": made.pk}, body


@of("people/")
def someone(world: Any, route: str, thing: str, user: Any) -> tuple[Values, Values]:
    """Who asks, or somebody new who is no Admin; the body brings all but a proof."""
    body = {"reason": "Because", "role": "Developer", "username": "grace", "full_name": "Grace Hopper"}
    if thing not in ("own", "others"):
        return {"username": "not-there", "prefix": "nonsense"}, body
    owner = user if thing == "own" else make_person("frida", "Operator")
    return {"username": owner.username, "prefix": make_key(owner).split("_")[1]}, body


def _somebody_else(world: Any, user: Any) -> Any:
    return next(found for found in world.people.values() if found.pk != user.pk)


def make_deployment(status: str, environment: Any, release: Callable[..., Any], admin: Any, **fields: Any) -> Any:
    """A deployment of v1.2.5 over v1.2.4 as the engine leaves it in a status."""
    from deployments.models import Deployment, Step
    from environments.models import Slot

    blue, green = environment.slots.order_by("name")
    releases = {r.version: r for r in environment.service.releases.all()}
    old, new = (releases.get(version) or release(version) for version in ("v1.2.4", "v1.2.5"))
    now = timezone.now()
    if status in ("watching", "succeeded"):
        fields = {"handover_at": now, "promoted_at": now, **fields}
        environment.live_slot = green
        environment.save()
        Slot.objects.filter(pk=green.pk).update(role="live", version=new.version, digest=new.digest)
        Slot.objects.filter(pk=blue.pk).update(role="standby", version=old.version, digest=old.digest)
    made = Deployment.objects.create(
        environment=environment,
        from_release=old,
        to_release=new,
        from_slot=blue,
        to_slot=green,
        strategy="blue_green",
        status=status,
        reason="Test",
        requested_by=admin,
        requested_by_name=admin.display_name,
        policy_data=environment.policy_data,
        started_at=now,
        **fields,
    )
    for index, name in enumerate(("preflight", "start_slot", "watch")):
        Step.objects.create(deployment=made, index=index, name=name, title=name, params={"until": "watch"})
    return made
