"""The live topics ``runbooks`` and ``runbook.<id>``.

Both tell that something changed and show nothing: the parts have forms, so each page fetches its own.
"""

from __future__ import annotations

from typing import Any

from django.urls import reverse

from accounts.topics import Reload, View, topic
from environments.models import Environment
from runbooks import runbook_pages
from runbooks.models import RunbookRun

LONGEST_KEY = 9


def may_see_runbooks(user: Any, key: str = "") -> bool:
    """Whoever sees an environment."""
    return Environment.objects.visible_to(user).exists()


def draw_runbooks(key: str = "") -> View:
    """The lists of runs."""
    address, stamp = reverse("runbook-parts"), runbook_pages.runs_stamp()
    return View({f"runbooks-{part}": Reload(f"{address}?part={part}", stamp) for part in ("running", "last")})


def may_see_run(user: Any, key: str) -> bool:
    """Whether a person may follow a run."""
    return _is_key(key) and RunbookRun.objects.visible_to(user).filter(pk=int(key)).exists()


def production_of_run(key: str) -> list[str]:
    """The environment of a run, if it is production."""
    found = Environment.objects.filter(kind=Environment.Kind.PRODUCTION, runbook_runs__pk=int(key))
    return [*found.values_list("name", flat=True)]


def draw_run(key: str) -> View:
    """The parts of a run.

    Raises:
        RunbookRun.DoesNotExist: there is none of this number.
    """
    run = RunbookRun.objects.select_related("text").get(pk=int(key))
    address, stamp = reverse("runbook-run-parts", args=[run.pk]), runbook_pages.stamp(run)
    regions: dict[str, str | Reload] = {
        "run-body": Reload(f"{address}?part=run", stamp),
        "run-bar": Reload(f"{address}?part=bar", stamp),
        "run-facts": Reload(f"{address}?part=facts", stamp),
        "run-notes": Reload(f"{address}?part=notes", runbook_pages.notes_stamp(run)),
    }
    step = f"step {run.step}" if run.step else "all steps are done"
    words = f"Runbook {run.text.title}: {step if run.is_running else run.get_status_display()}."
    return View(regions, say=words)


def _is_key(key: str) -> bool:
    return key.isascii() and key.isdigit() and len(key) <= LONGEST_KEY


topic("runbooks", may_see_runbooks, draw_runbooks, production=lambda key: ())
topic("runbook.<id>", may_see_run, draw_run, production=production_of_run)
