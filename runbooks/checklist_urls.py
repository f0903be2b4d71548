"""Addresses of the pages of checklists."""

from __future__ import annotations

from django.urls import URLPattern, path

from runbooks import checklist_edit_views, checklist_views

urlpatterns: list[URLPattern] = [
    path("checklists/", checklist_views.checklist_list, name="checklists"),
    path("checklists/parts/", checklist_views.part, name="checklist-parts"),
    path("checklists/<slug:slug>/", checklist_views.checklist_detail, name="checklist"),
    path("checklists/<slug:slug>/edit/", checklist_edit_views.edit, name="checklist-edit"),
    path("checklists/<slug:slug>/begin/", checklist_views.begin, name="checklist-begin"),
    path("checklist-runs/<int:pk>/", checklist_views.run_detail, name="checklist-run"),
    path("checklist-runs/<int:pk>/<slug:name>/", checklist_views.act, name="checklist-run-act"),
]
