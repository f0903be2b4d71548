"""Live topics of checklists: ``checklists`` and ``checklist.<id>``.

They tell that something changed and show nothing: each page fetches the parts that its person may see.
"""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Max, Q, Sum
from django.urls import reverse
from django.utils import timezone

from accounts.topics import Reload, View, topic
from environments.models import Environment
from runbooks import checklist_run_pages as run_pages
from runbooks.models import ChecklistRun

PARTS = {
    "checklists-due": "due",
    "checklists-lists": "lists",
    "counter-checklists": "counter",
    "checklists-mine": "mine",
}
"""Which part each region of the lists and of the overview is filled with."""


def may_see_checklists(user: Any, key: str = "") -> bool:
    """Whoever sees an environment."""
    return Environment.objects.visible_to(user).exists()


def stamp() -> str:
    """Changes when a list is opened, given to somebody, ticked, completed, missed or becomes late. One query."""
    is_open = Q(status=ChecklistRun.Status.OPEN)
    found = ChecklistRun.objects.aggregate(
        all=Count("pk"),
        open=Count("pk", filter=is_open),
        late=Count("pk", filter=is_open & Q(due_at__lt=timezone.now())),
        people=Sum("assigned_to", filter=is_open),
        touched=Max("touched_at"),
    )
    touched = found.pop("touched")
    return ".".join([*(str(value or 0) for value in found.values()), f"{touched.timestamp():.3f}" if touched else "0"])


def draw_checklists(key: str = "") -> View:
    """What is due."""
    address, changed = reverse("checklist-parts"), stamp()
    return View({region: Reload(f"{address}?part={part}", changed) for region, part in PARTS.items()})


def may_see_run(user: Any, key: str) -> bool:
    """Whether a person may follow a run."""
    return key.isdecimal() and ChecklistRun.objects.visible_to(user).filter(pk=int(key)).exists()


def production_of_run(key: str) -> list[str]:
    """The environment of a run, if it is production."""
    found = Environment.objects.filter(kind=Environment.Kind.PRODUCTION, checklist_runs__pk=int(key))
    return [*found.values_list("name", flat=True)]


def draw_run(key: str) -> View:
    """Each item by itself, so that nobody's open form is replaced by the tick of another; head and end.

    Raises:
        ChecklistRun.DoesNotExist: there is none of this number.
    """
    page = run_pages.drawn_for_all(int(key))
    address = f"{reverse('checklist-parts')}?pk={key}"
    regions = {
        f"item-{one.item.id}": Reload(f"{address}&part=item&item={one.item.id}", one.stamp) for one in page.items
    }
    regions |= {f"run-{part}": Reload(f"{address}&part={part}", page.stamp) for part in ("head", "end")}
    return View(dict(regions), say=f"{page.done} of {page.view.total} items done.")


topic("checklists", may_see_checklists, draw_checklists, production=lambda key: ())
topic("checklist.<id>", may_see_run, draw_run, production=production_of_run)
