"""Addresses of the inventory pages."""

from django.urls import path

from environments import views

urlpatterns = [
    path("environments/", views.environment_list, name="environments"),
    path("environments/<slug:name>/", views.environment_detail, name="environment"),
]
