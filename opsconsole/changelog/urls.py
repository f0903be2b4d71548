"""Addresses of the change log."""

from django.urls import path

from opsconsole.changelog import api, views

urlpatterns = [
    path("changelog/", views.page, name="changelog"),
    path("changelog/atom/", views.AtomView.as_view(), name="changelog-atom"),
    path("changelog.md", views.MarkdownView.as_view(), name="changelog-markdown"),
]
api_routes = [path("changelog/", api.ChangeLogView.as_view(), name="changelog")]
