"""Addresses of checklists and runbooks."""

from __future__ import annotations

from django.urls import URLPattern, path

from runbooks import checklist_urls, runbook_views

urlpatterns: list[URLPattern] = [
    *checklist_urls.urlpatterns,
    path("runbooks/", runbook_views.runbook_list, name="runbooks"),
    path("runbooks/parts/", runbook_views.list_part, name="runbook-parts"),
    path("runbooks/<slug:slug>/", runbook_views.runbook, name="runbook"),
    path("runbooks/<slug:slug>/start/", runbook_views.start, name="runbook-start"),
    path("runbook-runs/<int:pk>/", runbook_views.run_detail, name="runbook-run"),
    path("runbook-runs/<int:pk>/parts/", runbook_views.run_part, name="runbook-run-parts"),
    path("runbook-runs/<int:pk>/<slug:name>/", runbook_views.act, name="runbook-act"),
]
