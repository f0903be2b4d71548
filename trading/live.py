"""Live topics of trading."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.template.loader import render_to_string
from django.urls import reverse

from accounts.topics import Reload, View, topic
from environments.live import every_production, may_see_environment, may_see_everything, production_of_environment
from environments.models import Environment
from trading import breaker_pages, clearance_pages, database_pages, stop_files, stop_pages, stop_progress
from trading.models import Clearance, DatabaseRun


def may_see_stop(user: Any, key: str) -> bool:
    """Whether a person may follow an emergency stop."""
    found = _uuid(key)
    return found is not None and stop_pages.find(user, found) is not None


def production_of_stop(key: str) -> list[str]:
    """The environment of a stop, if it is production."""
    found = _uuid(key)
    file = stop_files.locate(found) if found else None
    places = Environment.objects.filter(kind=Environment.Kind.PRODUCTION)
    places = places.filter(name=file.environment) if file else places.filter(emergency_stops__pk=found)
    return [*places.values_list("name", flat=True)]


def draw_stop(key: str) -> View:
    """The progress of a stop; while it runs it is drawn from its journal alone.

    Raises:
        LookupError: there is none of this id.
    """
    found = _uuid(key)
    page = stop_pages.drawn(found) if found else None
    if page is None:
        raise LookupError(f"there is no emergency stop {key}")
    if page.running:
        stop_progress.watch(page.id, stop_files.journal_of(page.environment, page.id).path)
    context = {"page": page}
    return View(
        {
            "stop-body": render_to_string("trading/stop/_progress.html", context),
            "journal-body": render_to_string("trading/stop/_journal.html", context),
            "stop-acts": Reload(reverse("stop-acts", args=[page.id]), page.stamp),
        },
        say=f"{page.title}: {page.headline}",
        urgent=page.tone == "crit",
    )


def draw_stops(key: str = "") -> View:
    """Whether each environment is stopped, and the last uses."""
    found = stop_pages.overview_everywhere()
    regions = {
        f"place-{place.name}": render_to_string("trading/stop/_place_now.html", {"place": place})
        for place in found.places
    }
    engaged = ", ".join(place.name for place in found.places if place.engaged)
    say = f"Kill switch engaged: {engaged}." if engaged else ""
    return View({**regions, "uses-body": render_to_string("trading/stop/_uses.html", {"page": found})}, say=say)


def _uuid(key: str) -> UUID | None:
    try:
        return UUID(key)
    except ValueError:
        return None


def draw_breakers(key: str = "") -> View:
    """The breakers of each environment, without what depends on who looks."""
    regions: dict[str, str | Reload] = {}
    for place in breaker_pages.everywhere():
        html = render_to_string("trading/breakers/_cards.html", {"place": place})
        regions[f"breakers-of-{place.environment.pk}"] = html
    return View(regions)


def may_see_clearance(user: Any, key: str) -> bool:
    """Whether a person may follow a request."""
    return key.isdigit() and Clearance.objects.visible_to(user).filter(pk=int(key)).exists()


def production_of_clearance(key: str) -> list[str]:
    """The environment of a request, if it is production."""
    found = Environment.objects.filter(kind=Environment.Kind.PRODUCTION, clearances__pk=int(key))
    return [*found.values_list("name", flat=True)]


def draw_clearance(key: str) -> View:
    """The decision on a request, fetched by each page.

    Raises:
        Clearance.DoesNotExist: there is none of this number.
    """
    clearance = Clearance.objects.get(pk=int(key))
    address = reverse("clearance-decision", args=[clearance.pk])
    words = f"Request {clearance.pk}: {clearance.get_status_display()}."
    return View({"decision": Reload(address, clearance_pages.stamp(clearance))}, say=words)


topic("stop.<id>", may_see_stop, draw_stop, production=production_of_stop)
topic("stops", may_see_everything, draw_stops, production=every_production)
topic("breakers", may_see_everything, draw_breakers, production=every_production)
topic("clearance.<id>", may_see_clearance, draw_clearance, production=production_of_clearance)


def draw_databases(key: str) -> View:
    """The database of an environment: what is under way, the last backup, what was done; forms and list as reloads.

    Raises:
        Environment.DoesNotExist: there is none of this number.
    """
    page = database_pages.page(Environment.objects.get(pk=int(key)))
    name, context = page.environment.name, {"page": page, "environment": page.environment}
    parts = {"database-now": "now", "database-last-body": "last", "database-runs-body": "runs"}
    regions: dict[str, str | Reload] = {
        region: render_to_string(f"trading/databases/_{part}.html", context) for region, part in parts.items()
    }
    for part in ("acts", "backups"):
        regions[f"database-{part}"] = Reload(reverse(f"database-{part}", args=[name]), page.stamp)
    return View(regions)


def may_see_database_run(user: Any, key: str) -> bool:
    """Whether a person may follow a backup, a verification or a restore."""
    found = _uuid(key)
    return found is not None and DatabaseRun.objects.visible_to(user).filter(pk=found).exists()


def production_of_database_run(key: str) -> list[str]:
    """The environment of a run, if it is production."""
    places = Environment.objects.filter(kind=Environment.Kind.PRODUCTION, database_runs__pk=_uuid(key))
    return [*places.values_list("name", flat=True)]


def draw_database_run(key: str) -> View:
    """The progress of a run, and what is known of it.

    Raises:
        DatabaseRun.DoesNotExist: there is none of this id.
    """
    run = DatabaseRun.objects.select_related("environment", "backup").get(pk=_uuid(key))
    context = {"run": run, "environment": run.environment}
    parts = {"run-now": "run_now", "run-facts-body": "run_facts"}
    regions = {region: render_to_string(f"trading/databases/_{part}.html", context) for region, part in parts.items()}
    return View(regions, say=f"{run.get_kind_display()}: {run.get_status_display()}." if run.is_finished else "")


topic("databases.<id>", may_see_environment, draw_databases, production=production_of_environment)
topic("database.<id>", may_see_database_run, draw_database_run, production=production_of_database_run)
