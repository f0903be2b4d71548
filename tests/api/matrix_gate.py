"""What the addresses of the deployment gate name in ``matrix.yaml``: reports and freezes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from tests.api.matrix_things import MISSING, Values, of


@of("api/v1/test-reports/")
def report(world: Any, route: str, thing: str, user: Any) -> tuple[Values, Values]:
    """A report about an artifact whose release is not registered yet."""
    return {}, {"digest": "sha256:" + "a" * 64, "kind": "tests", "passed": True, "summary": "3 passed"}


@of("environments/<name>/freeze/", "api/v1/environments/<name>/freezes/")
def freeze(world: Any, route: str, thing: str, user: Any) -> tuple[Values, Values]:
    """A freeze of an environment; the body sets another one, or lifts it."""
    from deployments.models import Freeze

    now = timezone.now()
    body: Values = {"reason": "Because"}
    body |= {} if "lift" in route else {"ends_at": f"{now + timedelta(hours=1):%Y-%m-%dT%H:%M}"}
    if thing not in world.environments:
        return {"name": "not-there", "pk": MISSING}, body
    times = {"starts_at": now, "ends_at": now + timedelta(hours=1)}
    made = Freeze.objects.create(environment=world.environments[thing], reason="Holiday", set_by=world.admin, **times)
    return {"name": thing, "pk": made.pk}, body
