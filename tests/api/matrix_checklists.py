"""The checklists and their runs that the addresses of the API in ``matrix.yaml`` name."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from audit.actors import Actor
from tests.api.matrix_things import MISSING, Values, of

ITEM = "{id: look, challenge: Look, expect: Good, responses: [Good, Bad], two_person: %s}"
TEXT = "title: Seen\nenvironments: [production, staging]\nschedule: {every: %s}\ngroups: [{title: All, items: [%s]}]\n"


@of("api/v1/checklists/")
def checklist(world: Any, route: str, thing: str, user: Any) -> tuple[Values, Values]:
    """A list of both environments at version 1; the body changes, checks, retires it, or begins it for a release."""
    from runbooks.checklist_versions import save_version

    text = TEXT % ("deployment" if "begin" in route else "day", ITEM % "false")
    actor = Actor(name=world.admin.display_name, via="session", user=world.admin, role="Admin")
    save_version(actor, world.system, "seen", text, "First", based_on=0)
    body: Values = {"text": text.replace("Seen", "Other"), "reason": "Because", "based_on": 1}
    if "validate" in route:
        body = {"text": text}
    elif "retire" in route:
        body = {"reason": "Because"}
    elif "begin" in route:
        body = {"environment": thing, "release": "v1.2.5"}
    return {"slug": "not-there" if thing == "missing" else "seen"}, body


@of("api/v1/checklist-runs/")
def run(world: Any, route: str, thing: str, user: Any) -> tuple[Values, Values]:
    """A run that nobody has; where an answer is taken back, confirmed or the run completed, the Admin gave it."""
    from runbooks.checklist_versions import save_version
    from runbooks.models import ChecklistRun, Tick

    act = route.rstrip("/").rpartition("/")[2]
    bodies: dict[str, Values] = {
        "tick": {"item": "look", "response": "Good"},
        "untick": {"item": "look"},
        "check": {"item": "look"},
    }
    if thing not in world.environments:
        return {"pk": MISSING}, bodies.get(act, {})
    text = TEXT % ("day", ITEM % ("true" if act == "check" else "false"))
    actor = Actor(name=world.admin.display_name, via="session", user=world.admin, role="Admin")
    version = save_version(actor, world.system, "seen", text, "First", based_on=0)
    place, now = world.environments[thing], timezone.now()
    made = ChecklistRun.objects.create(
        checklist=version.checklist, version=version, environment=place, period="2026-11-23", opens_at=now
    )
    if act in ("untick", "check", "complete"):
        Tick.objects.create(run=made, item="look", response="Good", ticked_by=world.admin, ticked_at=now)
    return {"pk": made.pk}, bodies.get(act, {})
