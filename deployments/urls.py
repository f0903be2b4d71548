"""Addresses of the deployment and release pages."""

from django.urls import path

from deployments import act_views, views

urlpatterns = [
    path("", views.overview, name="overview"),
    path("deployments/", views.deployment_list, name="deployments"),
    path("deployments/new/", act_views.start, name="deployment-start"),
    path("deployments/<int:pk>/", views.deployment_detail, name="deployment"),
    path("deployments/<int:pk>/actions/", views.action_panel, name="deployment-actions"),
    path("deployments/<int:pk>/measurements.json", views.measurements, name="deployment-measurements"),
    path("deployments/<int:pk>/<slug:name>/", act_views.act, name="deployment-act"),
    path("releases/", views.release_list, name="releases"),
    path("releases/<str:version>/", views.release_detail, name="release"),
]
