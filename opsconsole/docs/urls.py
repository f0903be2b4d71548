"""Addresses of the documentation."""

from django.urls import path

from opsconsole.docs import views

urlpatterns = [
    path("docs/", views.index, name="docs"),
    path("docs/pictures/<path:name>", views.picture, name="document-picture"),
    path("docs/<slug:name>/", views.document, name="document"),
]
