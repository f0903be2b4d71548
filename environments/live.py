"""Live topics of the inventory: ``environment.<id>`` and ``environments``."""

from __future__ import annotations

from typing import Any

from django.template.loader import render_to_string

from accounts.topics import View, topic
from environments import pages
from environments.models import Environment


def may_see_environment(user: Any, key: str) -> bool:
    """Whether a person may follow an environment."""
    return key.isdigit() and Environment.objects.visible_to(user).filter(pk=int(key)).exists()


def draw_environment(key: str) -> View:
    """The regions of one environment.

    Raises:
        Environment.DoesNotExist: there is none of this number.
    """
    view = pages.view(pages.detailed(Environment.objects.all()).get(pk=int(key)))
    context = {"view": view, "environment": view.environment}
    regions = {
        "active": render_to_string("environments/_active.html", context),
        "numbers-body": render_to_string("environments/_numbers.html", context),
    }
    for slot in view.slots:
        regions[f"slot-{slot.slot.name}"] = render_to_string("environments/_slot.html", {**context, "slot": slot})
    return View(regions)


def may_see_everything(user: Any, key: str = "") -> bool:
    """What shows several environments is drawn once for all, so only somebody who may see every one may follow it."""
    return not Environment.objects.exclude(pk__in=Environment.objects.visible_to(user).values("pk")).exists()


def production_of_environment(key: str) -> list[str]:
    """The name of an environment, if it is production."""
    found = Environment.objects.filter(kind=Environment.Kind.PRODUCTION, pk=int(key))
    return [*found.values_list("name", flat=True)]


def every_production(key: str = "") -> list[str]:
    """What shows several environments shows each that is production."""
    return [*Environment.objects.filter(kind=Environment.Kind.PRODUCTION).values_list("name", flat=True)]


def draw_environments(key: str = "") -> View:
    """The region of the list."""
    return View({"environments-body": render_to_string("environments/_glance.html", {"views": pages.everywhere()})})


topic("environment.<id>", may_see_environment, draw_environment, production=production_of_environment)
topic("environments", may_see_everything, draw_environments, production=every_production)
