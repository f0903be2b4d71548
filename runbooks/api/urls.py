"""Addresses of the API of checklists and runbooks."""

from __future__ import annotations

from rest_framework.routers import SimpleRouter

from runbooks.api.checklists import ChecklistRunViewSet, ChecklistViewSet
from runbooks.api.runbooks import RunbookRunViewSet, RunbookViewSet

router = SimpleRouter()
router.register("checklists", ChecklistViewSet, basename="checklist")
router.register("checklist-runs", ChecklistRunViewSet, basename="checklist-run")
router.register("runbooks", RunbookViewSet, basename="runbook")
router.register("runbook-runs", RunbookRunViewSet, basename="runbook-run")

urlpatterns = router.urls
