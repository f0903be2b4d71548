"""The runbooks and runs that the API's addresses of ``matrix.yaml`` name; see ``matrix_things.py``."""

from __future__ import annotations

from typing import Any

from tests.api.matrix_things import MISSING, Values, of
from tests.runbooks.books import make_run


@of("api/v1/runbooks/")
def runbook(world: Any, route: str, thing: str, user: Any) -> tuple[Values, Values]:
    """A runbook of the library."""
    return {"slug": "missing" if thing == "missing" else "high-latency"}, {}


RUN_BODIES: dict[str, Values] = {
    "diagnose": {"name": "alerts.open"},
    "remedy": {"name": "trading.emergency_stop", "reason": "Because"},
    "failed": {"reason": "Because"},
    "skip": {"reason": "Because"},
    "note": {"text": "Looked"},
    "finish": {"resolved": True, "summary": "Done"},
    "abandon": {"reason": "Because"},
}


@of("api/v1/runbook-runs/")
def runbook_run(world: Any, route: str, thing: str, user: Any) -> tuple[Values, Values]:
    """A run that the Admin has control of, at a step with a diagnostic and a remedy."""
    act = route.rstrip("/").rpartition("/")[2]
    body = RUN_BODIES.get(act, {})
    if "<pk>" not in route:
        return {}, {"runbook": "high-latency", "environment": thing}
    if thing not in world.environments:
        return {"pk": MISSING}, body
    return {"pk": make_run(world.environments[thing], world.admin).pk}, body
