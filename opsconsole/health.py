"""The console's own health: ``/livez``, ``/readyz`` and Prometheus ``/metrics``."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import redis
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import Error as DatabaseError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Count, F, Max, Min, OuterRef, Q, Subquery
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from django_prometheus.exports import ExportToDjangoView
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from rest_framework.exceptions import AuthenticationFailed

from accounts.addresses import is_from_this_machine
from accounts.authentication import admit
from accounts.errors import TooManyAttempts
from audit.standing import ChainState, chain_state
from deployments.models import Deployment
from environments.models import Instance, SampleRow
from opsconsole.api import Problem, problem_response

VALKEY_SECONDS = 0.5
_migrated = False


@login_not_required
@never_cache
@require_safe
def livez(request: HttpRequest) -> HttpResponse:
    """The process answers. Looks at nothing else, so that an outage elsewhere does not get it restarted."""
    return JsonResponse({"status": "pass"})


@login_not_required
@never_cache
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """200 when requests can be served: the database answers and is migrated. Valkey is told, but not needed."""
    checks = {"database": _database(), "valkey": _valkey()}
    checks["migrations"] = _migrations() if checks["database"]["status"] == "pass" else _check("fail", "not looked at")
    ready = all(checks[name]["status"] == "pass" for name in ("database", "migrations"))
    return JsonResponse({"status": "pass" if ready else "fail", "checks": checks}, status=200 if ready else 503)


@login_not_required
@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus text for a scraper on this machine, or elsewhere with an API key."""
    if not is_from_this_machine(request):
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        try:
            if scheme.lower() != "bearer":
                raise AuthenticationFailed("Metrics are open on this machine only; elsewhere send an API key.")
            admit(request, text.strip())
        except AuthenticationFailed as error:
            headers = {"WWW-Authenticate": 'Bearer realm="OpsConsole"'}
            return problem_response(request, Problem(401, "unauthenticated", str(error.detail), headers=headers))
        except TooManyAttempts as error:
            headers = {"Retry-After": str(error.wait)}
            return problem_response(request, Problem(429, "too_many_attempts", str(error), headers=headers))
    response = ExportToDjangoView(request)
    response.content += _own_gauges()
    return response


def _check(status: str, detail: str = "") -> dict[str, str]:
    return {"status": status, "detail": detail}


def _database() -> dict[str, str]:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        return _check("fail", type(error).__name__)
    return _check("pass")


def _migrations() -> dict[str, str]:
    """Reads the migration files until all are applied once; a process does not outlive a new release."""
    global _migrated
    if not _migrated:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
        if missing:
            return _check("fail", f"{len(missing)} not applied: run manage.py migrate")
        _migrated = True
    return _check("pass")


def _valkey() -> dict[str, str]:
    client = redis.Redis.from_url(
        settings.CONFIG.redis_url, socket_timeout=VALKEY_SECONDS, socket_connect_timeout=VALKEY_SECONDS
    )
    try:
        client.ping()
    except (redis.RedisError, OSError) as error:
        return _check("warn", f"{type(error).__name__}: live pages and workers are rung up to a second later")
    finally:
        client.close()
    return _check("pass")


def _own_gauges() -> bytes:
    """What this product is about; read from the database at each scrape, so that every web process says the same."""
    registry = CollectorRegistry()

    def gauge(name: str, words: str, **labels: Any) -> Gauge:
        return Gauge(f"opsconsole_{name}", words, list(labels), registry=registry)

    up = gauge("database_up", "Whether the database answers.")
    try:
        values = _numbers()
    except DatabaseError:
        up.set(0)
        return generate_latest(registry)
    up.set(1)
    active = gauge("deployments_active", "Deployments under way.", environment="")
    for environment, count in values["active"]:
        active.labels(environment).set(count)
    gauge("due_work_lag_seconds", "How long the oldest due step has waited for a worker.").set(values["lag"])
    gauge("newest_sample_age_seconds", "Age of the newest probe of any instance; NaN without one.").set(values["age"])
    for name, words, value in _chain_gauges(values["chain"]):
        gauge(name, words).set(value)
    return generate_latest(registry)


def _chain_gauges(chain: ChainState) -> list[tuple[str, str, float]]:
    now, unknown = timezone.now(), float("nan")

    def age(moment: datetime | None, otherwise: float) -> float:
        return (now - moment).total_seconds() if moment else otherwise

    return [
        ("audit_chain_entries", "Entries in the audit chain.", chain.entries),
        ("audit_waiting_records", "Audit records that wait for the chain, counted up to 1,000.", chain.pending),
        ("audit_waiting_seconds", "Age of the oldest of them.", age(chain.pending_since, 0.0)),
        (
            "audit_checkpoint_age_seconds",
            "Age of the newest signature; NaN without.",
            age(chain.checkpoint_at, unknown),
        ),
        (
            "audit_chain_intact",
            "1: verified as it was written, 0: it is not as it was written, NaN: not verified, or not lately.",
            {"intact": 1.0, "broken": 0.0}.get(chain.status, unknown),
        ),
    ]


def _numbers() -> dict[str, Any]:
    now = timezone.now()
    active = Deployment.objects.active()
    unheld = Q(lease_expires_at__isnull=True) | Q(lease_expires_at__lt=now)
    oldest = active.filter(unheld, due_at__lte=now).aggregate(at=Min("due_at"))["at"]
    rows = SampleRow.objects.filter(instance=OuterRef("pk")).order_by("-at").values("at")
    newest = Instance.objects.annotate(newest=Subquery(rows[:1])).aggregate(at=Max("newest"))["at"]
    return {
        "chain": chain_state(),
        "active": list(active.order_by().values_list(F("environment__name")).annotate(Count("pk"))),
        "lag": (now - oldest).total_seconds() if oldest else 0.0,
        "age": (now - newest).total_seconds() if newest else float("nan"),
    }
