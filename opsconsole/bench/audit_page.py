"""How long the first page of each audit filter takes among 1,000,000 records, for an Admin and for an Operator.

A PostgreSQL of its own in a temporary folder; the whole view, from the session to the last byte of HTML, in a process
of its own. ``python -m opsconsole.bench.audit_page`` runs it alone and prints every filter.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from opsconsole.bench.audit_records import LEFT, RETIRED
from opsconsole.bench.figures import Figure, percentile
from opsconsole.config import ROOT
from opsconsole.local.ports import free_ports
from opsconsole.local.postgres import PostgresServer
from opsconsole.local.supervisor import Supervisor

ROUNDS = 40
LIMIT_MS = 50.0
ROLES = ("Admin", "Operator")
_ROLE = "opsconsole"


ALONE: dict[str, dict[str, str]] = {
    "nothing": {},
    "who, most frequent": {"who": "engine"},
    "who, frequent": {"who": "Person 2"},
    "who, rare": {"who": "Person 46"},
    "who, left long ago": {"who": LEFT},
    "who, never": {"who": "Nobody At All"},
    "who, by user name": {"who": "person-5"},
    "action, frequent": {"action": "deployment.verdict"},
    "action, rare": {"action": "deployment.promoted"},
    "action, no longer used": {"action": RETIRED},
    "action, never": {"action": "audit.exported"},
    "production": {"environment": "production"},
    "development": {"environment": "development"},
    "environment, never": {"environment": "nowhere"},
    **{f"outcome {name}": {"outcome": name} for name in ("done", "failed", "denied", "intent")},
    "object": {"object": "deployment:4900"},
    "object, old": {"object": "deployment:17"},
    "object, most frequent": {"object": "environment:7"},
    "object type": {"object": "user"},
    "object, never": {"object": "deployment:999999"},
    "request, never": {"request": "0123456789abcdef"},
}
TEXT = {
    "everywhere": "production",
    "in a third": "latency",
    "in a tenth": "slippage",
    "in a few": "OPS-4711",
    "in one": "#4242 v1",
    "nowhere": "zeppelin",
    "long ago only": "new exchange, step 7",
    "a version": "v1.23.4",
    "a name": "person 4",
    "words of an action": "rollback asked",
    "half a word": "eppag",
}
TOGETHER = {
    "who and action": {"who": "Person 3", "action": "deployment.held"},
    "who and action that never meet": {"who": "engine", "action": "deployment.held"},
    "action and outcome that never meet": {"action": "deployment.verdict", "outcome": "intent"},
    "who and outcome": {"who": "Person 30", "outcome": "failed"},
    "action and outcome": {"action": "traffic.shift", "outcome": "denied"},
    "staging, failed": {"environment": "staging", "outcome": "failed"},
    "staging, who left": {"environment": "staging", "who": LEFT},
    "staging and text": {"environment": "staging", "q": "OPS-471"},
    "who and text": {"who": "Person 40", "q": "slippage"},
    "failed and text": {"outcome": "failed", "q": "v1.12.3"},
    "development, action, denied": {"environment": "development", "action": "writer.role", "outcome": "denied"},
}


def measure() -> list[Figure]:
    """Build the records, ask for each filter 40 times as each role, in turn; about four minutes.

    Raises:
        RuntimeError: the measuring process failed.
        LocalServiceError: PostgreSQL cannot be started.
    """
    with tempfile.TemporaryDirectory(prefix="opsconsole-bench-") as folder:
        root = Path(folder)
        postgres = PostgresServer(root / "postgres", free_ports(1)[0])
        supervisor = Supervisor(root / "supervisor", "bench")
        try:
            postgres.prepare()
            supervisor.up([postgres.program()])
            postgres.wait_ready()
            postgres.ensure_role(_ROLE)
            postgres.ensure_database("bench", _ROLE)
            found = _in_process(root, postgres.url("bench", _ROLE))
        finally:
            supervisor.shutdown()
            postgres.remove()
    return [figure_of(role, found["times"][role], found["notes"]) for role in ROLES]


def figure_of(role: str, times: dict[str, list[float]], notes: dict[str, Any]) -> Figure:
    """One figure for a role: every request, and the p95 of the slowest filter, which is what is judged."""
    everything = [value for values in times.values() for value in values]
    p95 = {name: percentile(values, 0.95) for name, values in times.items()}
    worst = sorted(p95, key=lambda name: -p95[name])
    slowest = [f"{name}: p50 {percentile(times[name], 0.5):.1f}, p95 {p95[name]:.1f}" for name in worst]
    return Figure(
        "audit_page",
        f"Audit, first page of a filter, {role}",
        f"p95 ≤ {LIMIT_MS:g}",
        "ms",
        len(everything),
        p95[worst[0]] <= LIMIT_MS,
        p50=percentile(everything, 0.5),
        p99=percentile(everything, 0.99),
        max=max(everything),
        notes={
            **notes,
            "filters": len(times),
            "p95 of the slowest filter": round(p95[worst[0]], 1),
            "slowest, ms": slowest[:8],
        },
    )


def _in_process(root: Path, database: str) -> dict[str, Any]:
    (root / "var" / "static").mkdir(parents=True)
    variables = {
        **os.environ,
        "OPSC_SECRET_KEY": secrets.token_hex(32),
        "DATABASE_URL": database,
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "OPSC_HTTPS": "false",
        "OPSC_ALLOWED_HOSTS": "testserver,127.0.0.1",
        "OPSC_VAR": str(root / "var"),
        "OPSC_LOG_LEVEL": "ERROR",
        "DJANGO_SETTINGS_MODULE": "opsconsole.settings",
    }
    result = root / "result.json"
    command = [sys.executable, "-m", "opsconsole.bench.audit_page", "--measure", str(result)]
    done = subprocess.run(command, env=variables, cwd=ROOT, check=False)
    if done.returncode != 0:
        raise RuntimeError("the audit page could not be measured")
    found: dict[str, Any] = json.loads(result.read_text())
    return found


def filters(now: datetime) -> dict[str, dict[str, str]]:
    """What is asked for, by a name for the table: each facet alone, rare and frequent, and many together."""
    day = {ago: f"{now - timedelta(days=ago):%Y-%m-%d}" for ago in (1, 30, 100, 150)}
    times = {
        "last hour": {"since": "1h"},
        "since yesterday": {"since": day[1]},
        "a day long ago": {"since": day[150], "until": day[150]},
        "a minute long ago": {"since": f"{day[100]} 10:00", "until": f"{day[100]}T10:01:00Z"},
        "before a day long ago": {"until": day[150]},
        "old day and who": {"since": day[150], "until": day[150], "who": "Person 2"},
        "old month and action": {"since": day[150], "until": day[100], "action": RETIRED},
        "old day and text": {"since": day[150], "until": day[150], "q": "slippage"},
        "everything at once": {
            "who": "Person 2",
            "action": "deployment.held",
            "environment": "production",
            "outcome": "done",
            "since": day[150],
            "until": day[30],
            "q": "ticket",
        },
    }
    return {**ALONE, **{f"text {name}": {"q": value} for name, value in TEXT.items()}, **TOGETHER, **times}


def _measure(result: Path) -> None:
    """In the measuring process: settings come from the environment."""
    import django

    django.setup()
    from django.core.management import call_command

    from opsconsole.bench import audit_records

    began = time.monotonic()
    call_command("migrate", verbosity=0)
    call_command("collectstatic", interactive=False, verbosity=0)
    people = _cast(result.parent)
    audit_records.build(people["Person 1"].pk)
    built = time.monotonic() - began
    print(f"  {audit_records.RECORDS:,} records built in {built:.0f} s", flush=True)
    pages = {role: _Visitor(people[role]) for role in ROLES}
    wanted = filters(datetime.now(UTC))
    times: dict[str, dict[str, list[float]]] = {role: {name: [] for name in wanted} for role in ROLES}
    asked = [(role, name) for role in ROLES for name in wanted]
    for number in range(ROUNDS + 1):  # the first round warms up what every process has warm
        random.Random(number).shuffle(asked)
        for role, name in asked:
            milliseconds = pages[role].ask(wanted[name])
            if number:
                times[role][name].append(milliseconds)
    notes = {"records": audit_records.RECORDS, "seconds to build them": round(built)}
    result.write_text(json.dumps({"times": times, "notes": notes}))


def _cast(folder: Path) -> dict[str, Any]:
    """The environments, the people of the records, and those who look."""
    from django.contrib.auth.models import Group
    from guardian.shortcuts import assign_perm

    from accounts.models import User
    from environments.models import Environment, Service
    from opsconsole.bench.audit_records import PEOPLE

    service = Service.objects.create(name="bench")
    for number, name in enumerate(("production", "staging", "development")):
        made = Environment.objects.create(
            service=service, name=name, kind=name, position=number, front_url="", router={}, driver={}
        )
        group, _ = Group.objects.get_or_create(name="Operator")
        if name != "production":
            assign_perm("view_environment", group, made)
    people: dict[str, Any] = {}
    for number in range(1, PEOPLE + 1):
        people[f"Person {number}"] = User.objects.create_user(f"person-{number}", first_name=f"Person {number}")
    for role in ROLES:
        people[role] = User.objects.create_user(role.lower(), first_name=role)
        people[role].groups.add(Group.objects.get_or_create(name=role)[0])
    return people


class _Visitor:
    """Somebody's browser, in this process."""

    def __init__(self, user: Any) -> None:
        from django.test import Client

        self._client = Client()
        self._client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        session = self._client.session
        session.update({"methods": ["passkey"], "opened_at": time.time(), "seen_at": time.time()})
        session.save()

    def ask(self, wanted: dict[str, str]) -> float:
        """Milliseconds for one page."""
        began = time.perf_counter()
        answer = self._client.get("/audit/", wanted)
        took = (time.perf_counter() - began) * 1000
        if answer.status_code != 200 or b"Audit trail" not in answer.content:
            raise RuntimeError(f"the audit page answered {answer.status_code} to {wanted}")
        return took


def main() -> int:
    """Measure alone and print every filter; 1 when one is too slow."""
    if "--measure" in sys.argv:
        _measure(Path(sys.argv[-1]))
        return 0
    figures = measure()
    for figure in figures:
        print(f"\n{figure.title}: p50 {figure.p50:.1f}, p99 {figure.p99:.1f}, max {figure.max:.1f} ms")
        for key, value in figure.notes.items():
            print(f"  {key}:", *(value if isinstance(value, list) else [value]), sep="\n    ")
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
