"""Addresses of the alerts."""

from django.urls import path

from alerts import views

urlpatterns = [
    path("alerts/", views.alert_list, name="alerts"),
    path("alerts/parts/", views.part, name="alert-parts"),
    path("alerts/acknowledge/", views.acknowledge_all, name="alerts-acknowledge"),
    path("alerts/<int:pk>/", views.alert_detail, name="alert"),
    path("alerts/<int:pk>/acknowledge/", views.acknowledge, name="alert-acknowledge"),
]
